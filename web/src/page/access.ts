// The token of this tab, if the gateway asks for one. It is dropped with the tab and never part of an address.

const KEY = "kline-gateway.token";
/** The characters of a subprotocol (RFC 9110, 5.6.2): a browser refuses a connection with others. */
const WELL_FORMED = /^[\w!#$%&'*+.^`|~-]+$/;

export function token(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Stores a token; returns false if it is malformed or cannot be stored. */
export function storeToken(text: string): boolean {
  if (!WELL_FORMED.test(text)) return false;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    return false;
  }
  return true;
}
