// The chart adapters' public names.

export { klineChartLoader, type LoaderOptions, periodOf } from "./klinecharts.ts";
export {
  type CandlePoint,
  type ChartOptions,
  followWithLightweightCharts,
  type VolumePoint,
} from "./lightweight-charts.ts";
export { type DatafeedOptions, datafeed } from "./tradingview.ts";
