// Lines for a shell: curl for all that is HTTP, websocat for WebSockets. Pure.

import type { Choice } from "../choice";
import { query, target } from "../dialects";
import { addresses, lines, type Place, TOKEN, word } from "./text";

export function shell(choice: Choice, place: Place): string {
  const { kind, subprotocol, first } = target(choice);
  const { url, urls } = addresses(choice, place);
  const header = place.token ? ` -H "Authorization: Bearer $${TOKEN}"` : "";
  if (kind === "events") return lines(`curl -N${header} ${word(url)}`);
  if (kind === "http") return lines(...urls.map((each) => `curl${header} ${word(each)}`));
  const protocol = subprotocol === null ? "" : ` --protocol ${subprotocol}`;
  // Without the sign websocat takes the address for another header.
  const listen = `websocat -n${protocol}${header.replace("-H ", "-H=")} ${word(url)}`;
  const [command] = first;
  const beside =
    choice.dialect === "binance"
      ? `curl${header} ${word(`${place.base}/api/v3/klines?${query(choice)}&limit=5`)}`
      : `curl -N${header} ${word(addresses({ ...choice, dialect: "events" }, place).url)}`;
  return lines(
    command === undefined ? listen : `echo ${word(command)} | ${listen}`,
    "",
    choice.dialect === "binance"
      ? "# The klines before, over HTTP:"
      : "# The same as Server-Sent Events, which need curl alone:",
    beside,
  );
}
