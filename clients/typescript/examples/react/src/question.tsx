import { useState, type FormEvent } from "react";
import { Refused, type ClarificationPayload } from "tidings-client";

/** A question with its answers as buttons, or with a field if its schema does not list them. */
export function Question({ question, answer }: { question: ClarificationPayload; answer: (id: string, response: unknown) => Promise<void> }) {
  const [refusal, refuse] = useState("");
  const choices = (question.schema as { enum?: unknown[] } | undefined)?.enum;
  const give = (response: unknown): void => {
    answer(question.clarificationId, response).catch((error: unknown) => {
      refuse(error instanceof Refused && error.status === 409 ? "Somebody was first." : String(error));
    });
  };
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    give(new FormData(event.currentTarget).get("response"));
  };
  return (
    <section aria-label="Question" className="question">
      <h2>{question.question}</h2>
      {choices ? (
        choices.map((choice) => (
          <button key={String(choice)} onClick={() => give(choice)}>
            {String(choice)}
          </button>
        ))
      ) : (
        <form onSubmit={submit}>
          <input name="response" aria-label="Your answer" required /> <button>Answer</button>
        </form>
      )}
      {refusal && <p role="alert">{refusal}</p>}
    </section>
  );
}
