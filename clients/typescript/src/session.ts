import type { Transport } from "./feed.js";
import type { Http } from "./http.js";
import { Live, type Fold, type Liveness } from "./live.js";
import type { ClarificationPayload, ModelResultPayload, ProgressPayload } from "./wire.js";

/** Most results that a state holds; the oldest make room. A late joiner gets as many from the gateway. */
const RESULTS_MAX = 1000;

/** Everything a user of a session needs to see. */
export interface SessionState extends Liveness {
  /** The newest `progress`. */
  progress: ProgressPayload | null;
  /** Every `model_result`, oldest first. */
  modelResults: readonly ModelResultPayload[];
  /** The questions nobody has answered, oldest first. */
  clarifications: readonly ClarificationPayload[];
  /** The session is done: `completed` came. */
  isCompleted: boolean;
  /** What `completed` brought. */
  result: unknown;
  /** The newest error that was told, or why the session was cancelled. */
  error: string | null;
}

const FOLD: Fold<SessionState> = {
  initial: {
    progress: null,
    modelResults: [],
    clarifications: [],
    isCompleted: false,
    result: undefined,
    error: null,
    isConnected: false,
    isReady: false,
  },
  apply(state, name, data) {
    switch (name) {
      case "progress":
        return { ...state, progress: data as unknown as ProgressPayload };
      case "model_result":
        return { ...state, modelResults: [...state.modelResults, data as unknown as ModelResultPayload].slice(-RESULTS_MAX) };
      case "clarification": {
        const question = data as unknown as ClarificationPayload;
        const others = state.clarifications.filter((known) => known.clarificationId !== question.clarificationId);
        return { ...state, clarifications: question.status === "pending" ? [...others, question] : others };
      }
      case "completed":
        return { ...state, isCompleted: true, result: data["result"] };
      case "error":
      case "cancelled":
        return { ...state, error: String(data["error"] ?? data["message"] ?? name) };
      default:
        return state;
    }
  },
};

/** The state of a session before anything is known of it. */
export const IDLE_SESSION: SessionState = FOLD.initial;

/** A session: its state, and a way to answer its questions. */
export class Session extends Live<SessionState> {
  readonly #http: Http;

  constructor(
    transport: Transport,
    http: Http,
    readonly id: string,
  ) {
    super(transport, `session:${id}`, FOLD);
    this.#http = http;
  }

  /**
   * Answers a question. The first valid answer wins, whoever gives it; a later one is a {@link Refused} with status 409,
   * one after expiry 410, one that does not fit the question's schema 422.
   */
  async answer(clarificationId: string, response: unknown): Promise<void> {
    const body = JSON.stringify({ sessionId: this.id, clarificationId, response });
    await this.#http.ask("/api/wizard/clarifications/respond", { method: "POST", body });
  }
}
