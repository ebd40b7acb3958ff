import type { Transport } from "./feed.js";
import type { Http } from "./http.js";
import { Job } from "./job.js";
import { Session } from "./session.js";
import { Subscription, type SubscribeOptions } from "./subscription.js";
import type { Payloads } from "./wire.js";

/**
 * A client of a gateway. `E` are the payloads of events by name: those of the gateway's own schemas, and yours:
 * `connect<Payloads & { page_rendered: { page: number } }>(url)`.
 */
export class Client<E = Payloads> {
  readonly #transport: Transport;
  readonly #http: Http;
  /** What is alive, so that everybody who watches the same topic shares one subscription. */
  readonly #alive = new Map<string, WeakRef<Session | Job>>();
  readonly #gone = new FinalizationRegistry<string>((topic) => {
    if (!this.#alive.get(topic)?.deref()) this.#alive.delete(topic);
  });

  constructor(transport: Transport, http: Http) {
    this.#transport = transport;
    this.#http = http;
  }

  /** Follows a topic, `kind:id`. */
  subscribe(topic: string, options?: SubscribeOptions<E>): Subscription<E> {
    return new Subscription<E>(this.#transport, topic, options);
  }

  /** The session of this id; open while somebody watches it. */
  session(id: string): Session {
    return this.#share(`session:${id}`, () => new Session(this.#transport, this.#http, id));
  }

  /** The job of this id; open while somebody watches it. */
  job(id: string): Job {
    return this.#share(`job:${id}`, () => new Job(this.#transport, id));
  }

  #share<L extends Session | Job>(topic: string, make: () => L): L {
    const known = this.#alive.get(topic)?.deref();
    if (known) return known as L;
    const made = make();
    this.#alive.set(topic, new WeakRef(made));
    this.#gone.register(made, topic);
    return made;
  }

  /** Ends every connection. */
  close(): void {
    this.#transport.close();
  }
}
