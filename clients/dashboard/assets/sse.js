/**
 * A parser for `text/event-stream` that is fed whatever pieces arrive.
 *
 * The browser's own EventSource is not used: it hands out only names that were
 * registered beforehand, and reports its own failures under `error`, which is
 * also the name of one of our events.
 */

/** One line longer than this is no event of ours, and would only eat memory. */
const LINE_CHARS_MAX = 64 * 1024 * 1024;

/**
 * @typedef {object} Frame
 * @property {string} name `event:`, or "message"
 * @property {string} data the `data:` lines joined by line feeds
 * @property {string|null} id `id:` of this very frame, if it had one
 */

export class SseParser {
  #rest = '';
  #skipLineFeed = false;
  #started = false;
  #name = '';
  #data = [];
  #id = null;

  /** Reconnection time the server asked for with `retry:`, in milliseconds. */
  retry = null;

  /**
   * Takes a piece of text and gives the frames it completed.
   *
   * @param {string} text
   * @returns {Frame[]}
   */
  push(text) {
    const frames = [];
    let piece = text;
    if (!this.#started && piece.length > 0) {
      this.#started = true;
      if (piece.startsWith('\uFEFF')) piece = piece.slice(1);
    }
    if (this.#skipLineFeed && piece.length > 0) {
      this.#skipLineFeed = false;
      if (piece.startsWith('\n')) piece = piece.slice(1);
    }
    const buffer = this.#rest + piece;
    const ends = /\r\n|\n|\r/g;
    // What was kept holds no line end, so the search begins behind it.
    ends.lastIndex = this.#rest.length;
    let from = 0;
    for (let end = ends.exec(buffer); end !== null; end = ends.exec(buffer)) {
      const frame = this.#line(buffer.slice(from, end.index));
      if (frame) frames.push(frame);
      from = end.index + end[0].length;
      // A lone CR at the very end may be the first half of CR LF.
      if (end[0] === '\r' && from === buffer.length) this.#skipLineFeed = true;
    }
    this.#rest = buffer.slice(from);
    if (this.#rest.length > LINE_CHARS_MAX) throw new Error('a line of the stream is too long');
    return frames;
  }

  #line(line) {
    if (line === '') return this.#dispatch();
    if (line.startsWith(':')) return null;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    switch (field) {
      case 'event':
        this.#name = value;
        break;
      case 'data':
        this.#data.push(value);
        break;
      case 'id':
        if (!value.includes('\0')) this.#id = value;
        break;
      case 'retry':
        if (/^\d+$/.test(value)) this.retry = Number(value);
        break;
      default:
      // Unknown fields are ignored, as the specification says.
    }
    return null;
  }

  #dispatch() {
    const frame =
      this.#data.length === 0
        ? null
        : { name: this.#name || 'message', data: this.#data.join('\n'), id: this.#id };
    this.#name = '';
    this.#data = [];
    this.#id = null;
    return frame;
  }
}
