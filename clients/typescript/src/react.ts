/** Hooks for React: `useSession(id)` and `useJob(id)` re-render with the whole state whenever it changes. */
import { createContext, createElement, useCallback, useContext, useMemo, useSyncExternalStore, type ReactNode } from "react";

import type { Client } from "./client.js";
import { IDLE_JOB, type JobState } from "./job.js";
import type { Live, Liveness } from "./live.js";
import { IDLE_SESSION, type Session, type SessionState } from "./session.js";

type AnyClient = Pick<Client, "session" | "job">;

const Context = createContext<AnyClient | undefined>(undefined);

/** Gives a client to the hooks below it. */
export function TidingsProvider({ client, children }: { client: AnyClient; children?: ReactNode }): ReactNode {
  return createElement(Context.Provider, { value: client }, children);
}

function useClient(): AnyClient {
  const client = useContext(Context);
  if (!client) throw new Error("no <TidingsProvider> above");
  return client;
}

function useLive<S extends Liveness>(live: Live<S> | undefined, idle: S): S {
  const subscribe = useCallback((changed: () => void) => live?.onChange(changed) ?? (() => {}), [live]);
  return useSyncExternalStore(
    subscribe,
    () => live?.state ?? idle,
    () => idle,
  );
}

/** A session's state, with a way to answer its questions. */
export interface SessionView extends SessionState {
  /** Answers a question; rejects when somebody was first, it has expired, or the answer does not fit its schema. */
  answer: Session["answer"];
}

/** The session of this id; without an id nothing is followed. */
export function useSession(id: string | null | undefined): SessionView {
  const client = useClient();
  const session = useMemo(() => (id ? client.session(id) : undefined), [client, id]);
  const state = useLive(session, IDLE_SESSION);
  const answer = useCallback<Session["answer"]>(
    (clarificationId, response) =>
      session ? session.answer(clarificationId, response) : Promise.reject(new Error("no session")),
    [session],
  );
  return useMemo(() => ({ ...state, answer }), [state, answer]);
}

/** The job of this id; without an id nothing is followed. */
export function useJob(id: string | null | undefined): JobState {
  const client = useClient();
  const job = useMemo(() => (id ? client.job(id) : undefined), [client, id]);
  return useLive(job, IDLE_JOB);
}
