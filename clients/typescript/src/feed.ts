import { cursorOf, placeOf, type Place } from "./place.js";
import type { GapPayload } from "./wire.js";

/** What a feed tells whoever reads it, in the order of the log. */
export interface Reader {
  /** A snapshot begins: what was known before is not continued. Told before the snapshot's events. */
  begun?(gap?: GapPayload): void;
  event(name: string, data: unknown, cursor: string, isReplayed: boolean): void;
  /** The snapshot is complete. */
  settled?(): void;
  /** The subscription stands. */
  joined?(): void;
  /** Whether the connection stands. */
  linked?(isConnected: boolean): void;
  failed(error: Error): void;
}

/** Carries feeds over a connection. `open` begins or goes on at the feed's cursor; what it returns stops that. */
export interface Transport {
  open(feed: Feed): () => void;
  close(): void;
}

/**
 * One topic on its way to one reader: each event once and in order, or a gap.
 *
 * A transport may bring an event twice, after a reconnect for instance; its number tells. Numbers may leap where newer
 * states stand for older ones, so a leap is no gap: the gateway says when there is one.
 */
export class Feed {
  #seen: Place | undefined;
  /** The number at which the snapshot under way is complete. */
  #head = 0;
  #isSettled: boolean;

  constructor(
    readonly topic: string,
    /** The only event names that are wanted, if not all are. */
    readonly events: readonly string[] | undefined,
    since: string | undefined,
    readonly reader: Reader,
  ) {
    this.#seen = since === undefined ? undefined : placeOf(since);
    this.#isSettled = since !== undefined;
  }

  /** Where to go on; nothing if the snapshot is still to come. */
  get cursor(): string | undefined {
    const seen = this.#seen;
    return seen?.epoch && (this.#isSettled || seen.seq > 0) ? cursorOf(seen) : undefined;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** The gateway confirmed. Returns whether a snapshot follows. */
  joined(cursor: string): boolean {
    const isFresh = this.cursor === undefined;
    if (isFresh) this.begin(cursor);
    this.reader.joined?.();
    return isFresh && !this.#isSettled;
  }

  /** What followed the cursor is gone; a snapshot up to `gap.to` follows. */
  gap(gap: GapPayload): void {
    this.begin(gap.to, gap);
  }

  /** A snapshot up to this cursor follows. */
  begin(cursor: string, gap?: GapPayload): void {
    const { epoch, seq } = placeOf(cursor);
    this.#seen = { epoch, seq: 0 };
    this.#head = seq;
    this.#isSettled = false;
    this.reader.begun?.(gap);
    if (seq === 0) this.settle();
  }

  /** An event came. Only an object says that it is replayed; whatever a snapshot holds is. */
  take(name: string, data: unknown, place: Place, isReplayed: boolean): void {
    if (place.epoch === this.#seen?.epoch && place.seq <= this.#seen.seq) return;
    const isSnapshot = !this.#isSettled && place.seq <= this.#head;
    if (!isSnapshot) this.settle();
    this.#seen = place;
    this.reader.event(name, data, cursorOf(place), isReplayed || isSnapshot);
    if (place.seq >= this.#head) this.settle();
  }

  /** The snapshot is complete. */
  settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const seen = this.#seen as Place;
    this.#seen = { ...seen, seq: Math.max(seen.seq, this.#head) };
    this.reader.settled?.();
  }
}
