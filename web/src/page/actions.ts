// What one does with a chart: copy its address, save its picture, fill the screen with it.

import { element, make } from "./dom";

const SAID_MS = 2_500;
const TITLE_PIXELS = 34;
const MARGIN_PIXELS = 14;

export interface ActionSource {
  /** The address of what is looked at. */
  link(): string;
  picture(): HTMLCanvasElement;
  /** What the picture shows, in words. */
  title(): string;
  /** Without an ending. */
  fileName(): string;
}

export function wireActions(source: ActionSource): void {
  const link = element<HTMLInputElement>("link");
  element("share").addEventListener("click", () => void share(source.link(), link));
  element("picture").addEventListener("click", () => save(titled(source.picture(), source.title()), source.fileName()));
  const screen = element("fullscreen");
  screen.hidden = !document.fullscreenEnabled;
  screen.addEventListener("click", () => void toggleFullscreen());
}

export async function toggleFullscreen(): Promise<void> {
  try {
    if (document.fullscreenElement === null) await document.documentElement.requestFullscreen();
    else await document.exitFullscreen();
  } catch {
    // The browser or the page around this one does not want it.
  }
}

/** To the clipboard. A page that may not write there shows the address, ready to be copied. */
async function share(address: string, field: HTMLInputElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(address);
    say("Link copied");
  } catch {
    field.value = address;
    field.hidden = false;
    field.select();
  }
}

function titled(picture: HTMLCanvasElement, title: string): HTMLCanvasElement {
  const canvas = make("canvas", "");
  const style = getComputedStyle(document.body);
  const scale = devicePixelRatio;
  canvas.width = picture.width;
  canvas.height = picture.height + TITLE_PIXELS * scale;
  const pen = canvas.getContext("2d");
  if (pen === null) return picture;
  pen.fillStyle = style.backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = style.color;
  pen.font = `600 ${13 * scale}px ${style.fontFamily}`;
  pen.textBaseline = "middle";
  pen.fillText(title, MARGIN_PIXELS * scale, (TITLE_PIXELS / 2) * scale);
  pen.drawImage(picture, 0, TITLE_PIXELS * scale);
  return canvas;
}

function save(canvas: HTMLCanvasElement, name: string): void {
  canvas.toBlob((blob) => {
    if (blob === null) return;
    const link = make("a", "");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}.png`;
    link.click();
    // After the browser has taken it.
    setTimeout(() => URL.revokeObjectURL(link.href), SAID_MS);
    say("Picture saved");
  });
}

function say(text: string): void {
  const said = element("actions-said");
  said.textContent = text;
  setTimeout(() => {
    if (said.textContent === text) said.textContent = "";
  }, SAID_MS);
}
