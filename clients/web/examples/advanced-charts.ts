import { datafeed } from "../src/adapters/index.ts";
import { service, symbol, url } from "./shared.ts";

/** What is used of the library, which is not public. */
interface Library {
  readonly widget: new (options: object) => { activeChart(): { resetData(): void } };
}

const library = (await load("./charting_library/charting_library.standalone.js")) as Library | undefined;
const missing = document.querySelector("#missing") as HTMLElement;

if (library === undefined) {
  missing.hidden = false;
} else {
  const widget = new library.widget({
    container: "chart",
    library_path: "./charting_library/",
    symbol,
    interval: "1",
    timezone: "Etc/UTC",
    theme: "dark",
    datafeed: datafeed(service, { url, onReset: () => widget.activeChart().resetData() }),
  });
}

/** The library as it puts itself into the page; `undefined`: it is not there. */
function load(path: string): Promise<unknown> {
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = path;
    script.onload = () => resolve((window as unknown as Record<string, unknown>)["TradingView"]);
    script.onerror = () => resolve(undefined);
    document.head.append(script);
  });
}
