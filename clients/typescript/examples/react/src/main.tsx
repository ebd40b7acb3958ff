import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "tidings-client";
import { TidingsProvider } from "tidings-client/react";

import { SessionPage } from "./session-page";
import "./style.css";

const query = new URLSearchParams(location.search);
const tidings = connect(query.get("gateway") ?? import.meta.env["VITE_GATEWAY"] ?? "http://127.0.0.1:3000");

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <TidingsProvider client={tidings}>
      <SessionPage initial={query.get("session") ?? "hello"} />
    </TidingsProvider>
  </StrictMode>,
);
