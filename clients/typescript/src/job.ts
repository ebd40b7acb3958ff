import type { Transport } from "./feed.js";
import { Live, type Fold, type Liveness } from "./live.js";

/** How far a job is, in the words of its page. */
export interface JobState extends Liveness {
  status: "connecting" | "processing" | "completed" | "error" | "cancelled";
  currentFile: string | undefined;
  processedFiles: number;
  totalFiles: number;
  /** 0 to 100: what the job said, else the share of files. */
  progress: number;
  /** What the job said last. */
  message: string | undefined;
  /** The newest error; of a file it does not end the job. */
  error: string | undefined;
  isCompleted: boolean;
}

const number = (value: unknown, other: number): number => (typeof value === "number" ? value : other);
const text = (value: unknown, other?: string): string | undefined => (typeof value === "string" ? value : other);

const FOLD: Fold<JobState> = {
  initial: {
    status: "connecting",
    currentFile: undefined,
    processedFiles: 0,
    totalFiles: 0,
    progress: 0,
    message: undefined,
    error: undefined,
    isCompleted: false,
    isConnected: false,
    isReady: false,
  },
  apply(state, name, data) {
    const message = text(data["message"], state.message);
    // `job_completed` and `completed` mean the same.
    switch (name.replace(/^job_/, "")) {
      case "started":
      case "file_processing":
      case "file_completed":
      case "progress": {
        const processedFiles = number(data["processed_files"], state.processedFiles);
        const totalFiles = number(data["total_files"], state.totalFiles);
        const share = totalFiles > 0 ? (100 * processedFiles) / totalFiles : state.progress;
        const currentFile = text(data["current_file"], state.currentFile);
        return { ...state, status: "processing", currentFile, processedFiles, totalFiles, message, progress: number(data["progress"], share) };
      }
      case "completed":
        return { ...state, status: "completed", isCompleted: true, progress: 100, message };
      case "retried":
        return { ...FOLD.initial, isConnected: state.isConnected, isReady: state.isReady };
      case "cancelled":
        return { ...state, status: "cancelled", message };
      case "error":
      case "failed":
        return { ...state, status: "error", error: text(data["error"], message) ?? name };
      default:
        return state;
    }
  },
};

/** The state of a job before anything is known of it. */
export const IDLE_JOB: JobState = FOLD.initial;

/** A job: its state. */
export class Job extends Live<JobState> {
  constructor(
    transport: Transport,
    readonly id: string,
  ) {
    super(transport, `job:${id}`, FOLD);
  }
}
