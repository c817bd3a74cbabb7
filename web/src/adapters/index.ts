// The chart adapters' public names.

export { klineChartLoader, type LoaderOptions } from "./klinecharts.ts";
export { type ChartOptions, followWithLightweightCharts } from "./lightweight-charts.ts";
export { type DatafeedOptions, datafeed } from "./tradingview.ts";
