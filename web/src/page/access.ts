// The token this tab was given, where the gateway asks for one. It goes with the tab, and is never part of an address.

const KEY = "kline-gateway.token";
/** What a subprotocol may be made of (RFC 9110, 5.6.2): a browser refuses a connection with anything else. */
const WELL_FORMED = /^[\w!#$%&'*+.^`|~-]+$/;

export function token(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Tells whether it could be one at all. */
export function keepToken(text: string): boolean {
  if (!WELL_FORMED.test(text)) return false;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    return false;
  }
  return true;
}
