/** Follow topics of a tidings gateway over server-sent events: needs `fetch` and nothing else. */
import { Client } from "./client.js";
import type { Feed, Transport } from "./feed.js";
import { Http, isPassing, patience, pause, Refused, topicPath, type Access } from "./http.js";
import { placeOf } from "./place.js";
import type { Event, GapPayload, Payloads, Snapshot } from "./wire.js";

/** A stream that has said nothing for so long is dead: the gateway breaks silence every 15 s by default. */
const SILENCE_MS = 45_000;

/** A client over server-sent events: one request for each topic that is followed. */
export function connect<E = Payloads>(url: string, access: Access = {}): Client<E> {
  const http = new Http(url, access);
  return new Client<E>(new Sse(http), http);
}

class Sse implements Transport {
  readonly #http: Http;
  readonly #open = new Set<AbortController>();

  constructor(http: Http) {
    this.#http = http;
  }

  open(feed: Feed): () => void {
    const stop = new AbortController();
    this.#open.add(stop);
    void this.#follow(feed, stop.signal).finally(() => this.#open.delete(stop));
    return () => stop.abort();
  }

  close(): void {
    for (const stop of this.#open) stop.abort();
  }

  async #follow(feed: Feed, stop: AbortSignal): Promise<void> {
    for (let attempt = 0; !stop.aborted; attempt++) {
      let error: unknown;
      let hasGap = false;
      try {
        if (feed.cursor === undefined) await this.#join(feed, stop);
        if (!stop.aborted) hasGap = await this.#read(feed, stop, () => (attempt = 0));
      } catch (thrown) {
        error = thrown;
      }
      if (stop.aborted) return;
      feed.reader.linked?.(false);
      if (error && !isPassing(error)) return feed.reader.failed(error as Error);
      if (!hasGap) await pause(patience(attempt, error), stop);
    }
  }

  /** Reads the snapshot; a topic that is not there yet has an empty one. */
  async #join(feed: Feed, stop: AbortSignal): Promise<void> {
    const response = await this.#http.ask(topicPath(feed.topic), { signal: stop }).catch((error: unknown) => {
      if (error instanceof Refused && error.code === "topic_unknown") return undefined;
      throw error;
    });
    const snapshot = (await response?.json()) as Snapshot | undefined;
    if (stop.aborted) return;
    feed.begin(snapshot?.cursor ?? ":0");
    if (!snapshot) return;
    const { state, facts, clarifications, terminal } = snapshot;
    const events: Event[] = [...state, ...facts, ...clarifications, ...(terminal ? [terminal] : [])];
    for (const event of events.sort((a, b) => a.seq - b.seq)) {
      const data = event.data_base64 === undefined ? event.data : bytes(event.data_base64);
      if (!stop.aborted && isWanted(feed, event.name)) feed.take(event.name, data, event, true);
    }
    feed.settle();
  }

  /** Reads until the stream ends. Returns whether it did so for a gap: then the snapshot is asked for anew. */
  async #read(feed: Feed, stop: AbortSignal, heard: () => void): Promise<boolean> {
    const silence = new AbortController();
    const end = (): void => silence.abort();
    stop.addEventListener("abort", end);
    let timer = setTimeout(end, SILENCE_MS);
    try {
      const headers: Record<string, string> = { accept: "text/event-stream" };
      const cursor = feed.cursor;
      if (cursor) headers["last-event-id"] = cursor;
      const { body } = await this.#http.ask(`${topicPath(feed.topic)}/events`, { headers, signal: silence.signal });
      feed.reader.joined?.();
      feed.reader.linked?.(true);
      const decoder = new TextDecoder();
      let text = "";
      const reader = (body as ReadableStream<Uint8Array>).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || stop.aborted) return false;
        heard();
        clearTimeout(timer);
        timer = setTimeout(end, SILENCE_MS);
        const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
        text = blocks.pop() as string;
        for (const block of blocks) if (!stop.aborted && this.#take(feed, block)) return true;
      }
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      silence.abort();
    }
  }

  /** Takes one block of lines. Returns whether it was a gap that a snapshot follows. */
  #take(feed: Feed, block: string): boolean {
    const fields: Record<string, string> = {};
    for (const line of block.split("\n")) {
      const at = line.indexOf(": ");
      if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
    }
    const { event: name, id } = fields;
    if (!name) return false;
    let data = JSON.parse(fields["data"] ?? "null");
    if (name === "gap") {
      feed.gap(data as GapPayload);
      return !feed.isSettled;
    }
    const isReplayed = data?._replayed === true;
    // Bytes bear no number; an object does.
    if (data?.data_base64 != null && !data._epoch) data = bytes(data.data_base64);
    if (isWanted(feed, name)) feed.take(name, data, placeOf(id as string), isReplayed);
    return false;
  }
}

const isWanted = ({ events }: Feed, name: string): boolean => !events || events.includes(name);
const bytes = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

export { Refused, type Access } from "./http.js";
