// Whose market data the page shows: named and linked in the footer, where the gateway says so.

import { element, make } from "./dom";
import { base } from "./first-load";

interface About {
  readonly data: { readonly name: string; readonly url: string } | null;
}

/** Asks the gateway, and shows nothing where it does not say. */
export async function showAttribution(): Promise<void> {
  const answer = await fetch(new URL("v1/about", base));
  if (!answer.ok) return;
  const { data } = (await answer.json()) as About;
  if (data === null) return;
  const place = element("foot-data");
  place.replaceChildren("Data: ", data.url === "" ? data.name : linkTo(data.url, data.name));
  place.hidden = false;
}

function linkTo(url: string, text: string): HTMLAnchorElement {
  const link = make("a", "", text);
  link.href = url;
  link.rel = "noopener";
  link.target = "_blank";
  return link;
}
