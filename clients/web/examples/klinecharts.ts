import { init } from "klinecharts";
import { klineChartLoader, periodOf } from "../src/adapters/index.ts";
import { interval, service, symbol } from "./shared.ts";

const chart = init("chart");
if (chart === null) throw new Error("KLineChart found no place to draw");
chart.setDataLoader(klineChartLoader(service, { onReset: () => chart.resetData() }));
chart.setSymbol({ ticker: symbol, pricePrecision: 2, volumePrecision: 5 });
chart.setPeriod(periodOf(interval));

// For the tests: what the chart itself holds.
Object.assign(window, {
  example: {
    service,
    bars: () =>
      chart.getDataList().map(({ timestamp, open, high, low, close, volume }) => {
        return { openTime: timestamp, open, high, low, close, volume };
      }),
  },
});
