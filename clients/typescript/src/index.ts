/**
 * Follow topics of a tidings gateway over Socket.IO. `tidings-client/sse` does the same over server-sent events,
 * `tidings-client/producer` publishes, `tidings-client/react` has hooks.
 */
import { Client } from "./client.js";
import { Http, type Access } from "./http.js";
import { SocketIo, type SocketIoOptions } from "./socketio.js";
import type { Payloads } from "./wire.js";

export type ConnectOptions = Access & {
  /** Options of socket.io-client. */
  socket?: SocketIoOptions;
};

/** A client over Socket.IO. It connects when something is subscribed to, and lets go when nothing is. */
export function connect<E = Payloads>(url: string, { socket = {}, ...access }: ConnectOptions = {}): Client<E> {
  const http = new Http(url, access);
  return new Client<E>(new SocketIo(http, socket), http);
}

export type { Client } from "./client.js";
export { Refused, type Access } from "./http.js";
export type { Job, JobState } from "./job.js";
export type { Session, SessionState } from "./session.js";
export type { AnyEvent, Handlers, SubscribeOptions, Subscription, TopicEvent } from "./subscription.js";
export type * from "./wire.js";
