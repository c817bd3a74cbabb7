"use client";
// A candlestick chart on TradingView's lightweight-charts: its own entry point, so that only who imports it needs that package.

import type { SeriesStatus } from "kline-gateway-client";
import { followWithLightweightCharts } from "kline-gateway-client/adapters";
import { errorOf, HISTORY, type MarketDataError, statusOf } from "kline-gateway-client/store";
import {
  CandlestickSeries,
  type ChartOptions,
  createChart,
  type DeepPartial,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
} from "lightweight-charts";
import { type CSSProperties, type ReactElement, useContext, useEffect, useRef, useState } from "react";
import { BoundaryContext, useStore } from "./context.ts";
import { digitsOf } from "./digits.ts";
import { ChartSkeleton } from "./skeleton.tsx";

export interface Parts {
  readonly chart: IChartApi;
  readonly candles: ISeriesApi<"Candlestick">;
  readonly volumes: ISeriesApi<"Histogram">;
}

export interface KlineChartProps {
  readonly symbol: string;
  readonly interval: string;
  /** Closed klines to begin with; scrolling left loads more. Default 500. */
  readonly history?: number;
  /** Default: all there is. */
  readonly height?: number | string;
  /** Options of lightweight-charts, on top of those that make it fit the page's colours. Give it the same object each time. */
  readonly options?: DeepPartial<ChartOptions>;
  readonly volume?: boolean;
  readonly className?: string;
  readonly style?: CSSProperties;
  /** Default: the market. */
  readonly label?: string;
  /** Called once the chart is there: for price lines, markers, other series. */
  readonly onReady?: (parts: Parts) => void;
  /** Green, yellow or red, when that changes. */
  readonly onStatus?: (status: SeriesStatus) => void;
}

const RISING = "#26a69a66";
const FALLING = "#ef535066";

/** Draws a market and follows it. The chart draws by itself: the component renders only when loading ends or fails. */
export function KlineChart({
  symbol,
  interval,
  history = HISTORY,
  height = "100%",
  options,
  volume = true,
  className,
  style,
  label = `Candlestick chart of ${symbol}, ${interval}`,
  onReady,
  onStatus,
}: KlineChartProps): ReactElement {
  const { service } = useStore();
  const throws = useContext(BoundaryContext);
  const place = useRef<HTMLElement>(null);
  const calls = useRef({ onReady, onStatus, options });
  const [parts, setParts] = useState<Parts | null>(null);
  /** The market that is on the screen, if any. */
  const [drawn, setDrawn] = useState<string | null>(null);
  const [failed, setFailed] = useState<{ readonly market: string; readonly error: MarketDataError | null } | null>(
    null,
  );
  const market = `${symbol}:${interval}`;

  useEffect(() => {
    calls.current = { onReady, onStatus, options };
  });

  // In StrictMode the first chart is removed before this.
  useEffect(() => {
    if (parts !== null) calls.current.onReady?.(parts);
  }, [parts]);

  // Before the chart's own effect, so that at the end it is ended before the chart is removed.
  useEffect(() => {
    if (parts === null) return;
    const { chart, candles, volumes } = parts;
    let digits = 0;
    let empty = true;
    chart.applyOptions({ timeScale: { timeVisible: true, secondsVisible: interval.endsWith("s") } });
    // Where the user had gone in another market is no place in this one.
    chart.timeScale().resetTimeScale();
    candles.priceScale().applyOptions({ autoScale: true });
    const stop = followWithLightweightCharts(service, candles, {
      symbol,
      interval,
      history,
      volumes,
      volumeColor: ({ open, close }) => (close < open ? FALLING : RISING),
      timeScale: chart.timeScale(),
      onReset(klines) {
        empty = klines.length === 0;
        digits = klines.reduce((most, kline) => Math.max(most, digitsOf(kline.close), digitsOf(kline.open)), digits);
        candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
        setDrawn(empty ? null : market);
      },
      onStatus(status) {
        const error = errorOf(statusOf(status), symbol, interval, empty);
        setFailed((before) => (before?.error == null && error === null ? before : { market, error }));
        calls.current.onStatus?.(status);
      },
    });
    return () => {
      stop();
      candles.setData([]);
      volumes.setData([]);
    };
  }, [parts, service, symbol, interval, history, market]);

  useEffect(() => {
    const element = place.current as HTMLElement;
    const chart = createChart(element, { autoSize: true, ...colors(element) });
    const candles = chart.addSeries(CandlestickSeries);
    const volumes = chart.addSeries(HistogramSeries, {
      priceScaleId: "",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    volumes.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    const made = { chart, candles, volumes };
    setParts(made);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const recolor = (): void => {
      chart.applyOptions(colors(element));
      if (calls.current.options !== undefined) chart.applyOptions(calls.current.options);
    };
    scheme.addEventListener("change", recolor);
    return () => {
      setParts(null);
      scheme.removeEventListener("change", recolor);
      chart.remove();
    };
  }, []);

  useEffect(() => parts?.volumes.applyOptions({ visible: volume }), [parts, volume]);

  useEffect(() => {
    if (options !== undefined) parts?.chart.applyOptions(options);
  }, [parts, options]);

  // What is cached is drawn before the eye sees a skeleton.
  const waiting = drawn !== market && service.peek(symbol, interval) === null;
  const error = failed?.market === market ? failed.error : null;
  if (throws && error !== null) throw error;
  return (
    <div className={className ?? "kline-chart"} style={{ position: "relative", height, ...style }}>
      <section ref={place} aria-label={label} style={{ position: "absolute", inset: 0 }} />
      {waiting && (
        <div style={{ position: "absolute", inset: 0 }}>
          {error === null ? <ChartSkeleton /> : <p role="alert">{error.message}</p>}
        </div>
      )}
    </div>
  );
}

/** Those of the page around the chart. */
function colors(element: HTMLElement): DeepPartial<ChartOptions> {
  return {
    layout: { background: { color: "transparent" }, textColor: rgbOf(getComputedStyle(element).color) },
    grid: { vertLines: { color: "#8882" }, horzLines: { color: "#8882" } },
  };
}

/** The chart reads `rgb()` alone, and throws at `oklch()` and the like. */
function rgbOf(color: string): string {
  const context = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})`;
}
