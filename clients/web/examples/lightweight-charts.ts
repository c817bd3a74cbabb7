import { CandlestickSeries, createChart, HistogramSeries } from "lightweight-charts";
import { type CandlePoint, followWithLightweightCharts, type VolumePoint } from "../src/adapters/index.ts";
import { interval, service, symbol } from "./shared.ts";

const chart = createChart(document.querySelector("#chart") as HTMLElement, { timeScale: { timeVisible: true } });
const candles = chart.addSeries(CandlestickSeries);
const volumes = chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" } });
volumes.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });

followWithLightweightCharts(service, candles, {
  symbol,
  interval,
  volumes,
  timeScale: chart.timeScale(),
  volumeColor: (bar) => (bar.close < bar.open ? "#f0616d55" : "#2ebd8555"),
});

// For the tests: what the chart itself holds.
Object.assign(window, {
  example: {
    service,
    /** Scrolls so that the bar of this place is at the left edge. */
    show: (first: number) => chart.timeScale().setVisibleLogicalRange({ from: first, to: first + 100 }),
    bars: () =>
      (candles.data() as unknown as CandlePoint[]).map(({ time, open, high, low, close }, index) => {
        const volume = (volumes.data()[index] as unknown as VolumePoint).value;
        return { openTime: time * 1_000, open, high, low, close, volume };
      }),
  },
});
