/** A place in a topic: the incarnation of its log and a number in it. */
export interface Place {
  epoch: string;
  seq: number;
}

/** Reads a cursor, `<epoch>:<seq>`. */
export function placeOf(cursor: string): Place {
  const at = cursor.lastIndexOf(":");
  return { epoch: cursor.slice(0, at), seq: Number(cursor.slice(at + 1)) };
}

/** Writes a cursor. */
export const cursorOf = ({ epoch, seq }: Place): string => `${epoch}:${seq}`;
