// Where the gateway's paths are. Computed at each use: on a server there is no page for an address to be relative to.

/** A last part with a dot is a file, such as `index.html` of a page's own address. */
const FILE = /\.[^/]*$/;

/**
 * The address of a path of the gateway, for example `v1/klines`. `base` is the gateway's address, with or without a slash
 * at its end; in a page it may be relative (`/`: the page's own server). Throws `TypeError` if it is no address.
 */
export function addressOf(path: string, base: string): URL {
  const root = new URL(base, globalThis.location?.href);
  if (!root.pathname.endsWith("/") && !FILE.test(root.pathname)) root.pathname += "/";
  return new URL(path, root);
}

/** The address of the gateway's stream. */
export function streamAddress(base: string): string {
  const url = addressOf("v1/stream", base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
