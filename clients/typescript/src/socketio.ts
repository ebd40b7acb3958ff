import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";

import type { Feed, Transport } from "./feed.js";
import { Refused, type Http } from "./http.js";
import type { GapPayload, SubscribedPayload } from "./wire.js";

/** Options of socket.io-client, for instance `path` or `transports`. */
export type SocketIoOptions = Partial<ManagerOptions & SocketOptions>;

/** Most topics of one connection, a little below what the gateway allows; more open another one. */
const TOPICS_MAX = 200;
/** How long a connection without topics stays open. */
const LINGER_MS = 200;
/** How long to wait before asking again after a passing refusal, or coming back after the gateway closed. */
const AGAIN_MS = 1000;
/** Refusals that pass. */
const PASSING = /^(draining|disconnected|store_away|limit_reached)$/;

type Answer = { ok: true } | { ok: false; code: string; error: string };
/** A subscription to ask for. */
type Wish = [seat: Seat, entry: { topic: string; since?: string | undefined; events?: readonly string[] | undefined }];

/** A feed on a connection. */
interface Seat {
  readonly feed: Feed;
  /** Asked and not confirmed on this connection: until then nothing that comes is ours. */
  isAwaiting: boolean;
  /** Asked once more only to learn, by its place in the order, when the snapshot is complete. */
  isFencing: boolean;
}

/** Follows topics over Socket.IO, many on one connection. */
export class SocketIo implements Transport {
  readonly #links = new Set<Link>();

  constructor(
    readonly http: Http,
    readonly options: SocketIoOptions,
  ) {}

  open(feed: Feed): () => void {
    // A connection holds a topic once: another subscription to it has its own snapshot, so its own connection.
    let link = [...this.#links].find((one) => one.fits(feed.topic));
    if (!link) {
      link = new Link(this.http, this.options, this.#links);
    }
    return link.add(feed);
  }

  close(): void {
    for (const link of this.#links) link.end();
  }
}

class Link {
  readonly #socket: Socket;
  readonly #seats = new Map<string, Seat>();
  readonly #links: Set<Link>;
  /** What is asked for at the end of this turn. */
  readonly #wishes: Wish[] = [];
  #closing: ReturnType<typeof setTimeout> | undefined;
  #coming: ReturnType<typeof setTimeout> | undefined;

  constructor(http: Http, options: SocketIoOptions, links: Set<Link>) {
    this.#links = links.add(this);
    this.#socket = io(http.base, {
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      auth: (give) => void http.token().then((token) => give({ token }), () => give({})),
      ...options,
      // Resuming is by cursor here, for each topic and for longer than a connection is remembered. A connection that was
      // recovered would not be sent again what got lost of a snapshot. Each event has its place behind its payload.
      query: { ...options.query, recovery: "0", cursors: "1" },
      forceNew: true,
    });
    this.#socket
      .on("connect", () => {
        for (const seat of this.#seats.values()) {
          seat.feed.reader.linked?.(true);
          this.#ask(seat);
        }
      })
      .on("disconnect", (reason) => {
        for (const seat of this.#seats.values()) {
          seat.isAwaiting = true;
          seat.feed.reader.linked?.(false);
        }
        if (reason === "io server disconnect") this.#coming = setTimeout(() => this.#socket.connect(), AGAIN_MS);
      })
      .on("connect_error", (error: Error & { data?: { code?: string } }) => {
        // Not active: the gateway refused the connection itself; else the client tries on by itself.
        if (!this.#socket.active) this.#fail(new Refused(error.data?.code ?? "connection_refused", error.message));
      })
      .on("auth:expiring", async () => this.#socket.emit("auth:refresh", { token: await http.token() }))
      .onAny((name: string, data: unknown, place: unknown) => this.#take(name, data, place));
  }

  fits(topic: string): boolean {
    return !this.#seats.has(topic) && this.#seats.size < TOPICS_MAX;
  }

  add(feed: Feed): () => void {
    clearTimeout(this.#closing);
    const seat: Seat = { feed, isAwaiting: true, isFencing: false };
    this.#seats.set(feed.topic, seat);
    if (this.#socket.connected) {
      feed.reader.linked?.(true);
      this.#ask(seat);
    }
    return () => this.#remove(seat);
  }

  #remove({ feed }: Seat): void {
    if (this.#seats.get(feed.topic)?.feed !== feed) return;
    this.#seats.delete(feed.topic);
    if (this.#socket.connected) this.#socket.emit("unsubscribe", { topic: feed.topic });
    if (!this.#seats.size) this.#closing = setTimeout(() => this.end(), LINGER_MS);
  }

  end(): void {
    clearTimeout(this.#closing);
    clearTimeout(this.#coming);
    this.#links.delete(this);
    this.#socket.disconnect();
  }

  #fail(error: Refused): void {
    this.end();
    for (const { feed } of [...this.#seats.values()]) feed.reader.failed(error);
  }

  #isSeated(seat: Seat): boolean {
    return this.#socket.connected && this.#seats.get(seat.feed.topic) === seat;
  }

  #ask(seat: Seat): void {
    const { topic, cursor: since, events } = seat.feed;
    seat.isAwaiting = true;
    seat.isFencing = false;
    this.#say([seat, { topic, since, events }]);
  }

  /** The answer to this comes after what the gateway has queued for us by now. */
  #fence(seat: Seat): void {
    if (seat.feed.isSettled || !seat.feed.reader.settled) return;
    seat.isFencing = true;
    this.#say([seat, { topic: seat.feed.topic }]);
  }

  /** Asks for a topic, together with whatever else is asked for in this turn. */
  #say(wish: Wish): void {
    if (this.#wishes.push(wish) > 1) return;
    setTimeout(() => {
      const wishes = this.#wishes.splice(0).filter(([seat]) => this.#isSeated(seat));
      if (!wishes[0]) return;
      // One answer for each, or a single refusal of all.
      this.#socket.emit("subscribe", wishes.map(([, entry]) => entry), (answers: Answer | Answer[]) =>
        wishes.forEach(([seat], n) => this.#answered(seat, [answers].flat().at(n) ?? (answers as Answer))),
      );
    });
  }

  #answered(seat: Seat, answer: Answer): void {
    if (answer.ok || !this.#isSeated(seat)) return;
    if (PASSING.test(answer.code)) {
      setTimeout(() => this.#isSeated(seat) && this.#ask(seat), AGAIN_MS);
      return;
    }
    this.#remove(seat);
    seat.feed.reader.failed(new Refused(answer.code, answer.error));
  }

  #take(name: string, data: unknown, place: unknown): void {
    if (name === "subscribed") return this.#subscribed(data as SubscribedPayload);
    const gap = name === "gap" ? (data as GapPayload) : undefined;
    // `kind:id:epoch:number`; without it the gateway speaks of something else than a topic.
    const [kind, id, epoch, seq] = String(place).split(":");
    const seat = this.#seats.get(gap?.topic ?? `${kind}:${id}`);
    if (!seat || seat.isAwaiting) return;
    if (gap) {
      seat.feed.gap(gap);
      this.#fence(seat);
    } else {
      const isReplayed = (data as { _replayed?: boolean } | null)?._replayed === true;
      const payload = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
      seat.feed.take(name, payload, { epoch: epoch as string, seq: Number(seq) }, isReplayed);
    }
  }

  #subscribed({ topic, cursor }: SubscribedPayload): void {
    const seat = this.#seats.get(topic);
    if (!seat) return;
    if (seat.isFencing) {
      seat.isFencing = false;
      seat.feed.settle();
      return;
    }
    seat.isAwaiting = false;
    if (seat.feed.joined(cursor)) this.#fence(seat);
  }
}
