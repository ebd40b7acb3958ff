import { Feed, type Transport } from "./feed.js";

/** How long a topic that nobody watches any more stays open: a page that is re-rendered comes back at once. */
const LINGER_MS = 200;

/** What every state says of itself. */
export interface Liveness {
  /** Whether the connection stands. The state stays as it was while it does not. */
  isConnected: boolean;
  /** Whether the state is that of the gateway: false until the first snapshot is there. */
  isReady: boolean;
}

/** How events become a state. */
export interface Fold<S> {
  readonly initial: S;
  apply(state: S, name: string, data: Record<string, unknown>): S;
}

/**
 * The state of a topic, kept up to date while somebody watches. It is always whole: after a gap the old state stays
 * until the new one is complete. Each change is a new object.
 */
export class Live<S extends Liveness> {
  #state: S;
  /** The state that is being built from a snapshot. */
  #draft: S | undefined;
  readonly #listeners = new Map<object, (state: S) => void>();
  readonly #transport: Transport;
  readonly #feed: Feed;
  #stop: (() => void) | undefined;
  #closing: ReturnType<typeof setTimeout> | undefined;
  #error: Error | undefined;

  constructor(transport: Transport, topic: string, fold: Fold<S>) {
    this.#transport = transport;
    this.#state = fold.initial;
    this.#feed = new Feed(topic, undefined, undefined, {
      begun: () => {
        this.#draft = { ...fold.initial, isConnected: this.#state.isConnected };
      },
      event: (name, data) => {
        const fields = (typeof data === "object" && data !== null ? data : {}) as Record<string, unknown>;
        if (this.#draft) this.#draft = fold.apply(this.#draft, name, fields);
        else this.#set(fold.apply(this.#state, name, fields));
      },
      settled: () => {
        const draft = this.#draft as S;
        this.#draft = undefined;
        this.#set({ ...draft, isReady: true });
      },
      linked: (isConnected) => {
        if (this.#draft) this.#draft = { ...this.#draft, isConnected };
        if (this.#state.isConnected !== isConnected) this.#set({ ...this.#state, isConnected });
      },
      joined: () => {
        this.#error = undefined;
      },
      failed: (error) => {
        this.#error = error;
        this.#stop = undefined;
        this.#set({ ...this.#state, isConnected: false });
      },
    });
  }

  get state(): S {
    return this.#state;
  }

  /** Why the gateway refused the subscription for good, if it did. */
  get refusal(): Error | undefined {
    return this.#error;
  }

  #set(state: S): void {
    this.#state = state;
    for (const listener of [...this.#listeners.values()]) listener(state);
  }

  /** Watches; the topic is open as long as somebody does. Returns how to stop. */
  onChange(listener: (state: S) => void): () => void {
    const ticket = {};
    this.#listeners.set(ticket, listener);
    clearTimeout(this.#closing);
    this.#stop ??= this.#transport.open(this.#feed);
    return () => {
      if (!this.#listeners.delete(ticket) || this.#listeners.size) return;
      this.#closing = setTimeout(() => {
        this.#stop?.();
        this.#stop = undefined;
        this.#set({ ...this.#state, isConnected: false });
      }, LINGER_MS);
    };
  }

  /** Resolves with the first state that fits, this one included once it is ready; rejects when the gateway refuses. */
  until(fits: (state: S) => boolean): Promise<S> {
    return new Promise((resolve, reject) => {
      let stop: (() => void) | undefined;
      const look = (state: S): void => {
        const hasCome = state.isReady && fits(state);
        if (!hasCome && !this.#error) return;
        // The first look may come before `onChange` has returned.
        queueMicrotask(() => stop?.());
        if (hasCome) resolve(state);
        else reject(this.#error as Error);
      };
      stop = this.onChange(look);
      look(this.#state);
    });
  }
}
