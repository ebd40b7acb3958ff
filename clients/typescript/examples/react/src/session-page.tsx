import { useState } from "react";
import { useSession } from "tidings-client/react";

import { Question } from "./question";

/** Any session, live: choose one, see how far it is, answer what it asks. */
export function SessionPage({ initial }: { initial: string }) {
  const [id, choose] = useState(initial);
  const { progress, modelResults, clarifications, isCompleted, result, error, isConnected, isReady, answer } = useSession(id);
  const percent = isCompleted ? 100 : (progress?.progress ?? 0);
  const status = error ? "failed" : isCompleted ? "completed" : progress ? "working" : "waiting";
  return (
    <main>
      <header>
        <label>
          Session <input value={id} onChange={(event) => choose(event.target.value)} spellCheck={false} />
        </label>
        <output data-connected={isConnected}>{isConnected ? "live" : isReady ? "coming back" : "connecting"}</output>
      </header>
      <section aria-label="Progress">
        <progress value={percent} max={100} aria-label="Progress" />
        <p>
          <strong>{percent} %</strong> <span data-status={status}>{status}</span> {status === "working" && progress?.message}
        </p>
        {error && <p role="alert">{error}</p>}
      </section>
      {clarifications.map((question) => (
        <Question key={question.clarificationId} question={question} answer={answer} />
      ))}
      {modelResults.length > 0 && (
        <section aria-label="Results">
          <h2>Results</h2>
          <ul>
            {modelResults.map((one) => (
              <li key={one._seq}>
                <span>{one.modelName}</span> {one.error ?? String(one.result ?? one.status)}
              </li>
            ))}
          </ul>
        </section>
      )}
      {isCompleted && (
        <section aria-label="Outcome">
          <h2>Outcome</h2>
          <pre>{JSON.stringify(result, null, 2)}</pre>
        </section>
      )}
      {!progress && !isCompleted && (
        <p className="hint">
          Nothing yet. Run <code>npm run work {id}</code> beside this page.
        </p>
      )}
    </main>
  );
}
