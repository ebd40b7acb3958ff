// Polling behind plain round robin: so many requests, and no error.
import { crowd, isLossless, publisher, reckon, told } from "./crowd.mjs";
import { house, pause } from "./house.mjs";

export async function polls({ number }) {
  const home = await house({ nodes: number("nodes", 3) });
  try {
    const shape = { clients: number("clients", 60), topics: number("topics", 6) };
    const requests = number("requests", 100_000);
    const people = await crowd(home.front.url, { ...shape, transports: ["polling"] });
    const publishing = publisher(home.nodes, { ...shape, rate: number("rate", 60) });
    const begun = performance.now();
    while (home.front.counts.requests < requests && performance.now() - begun < number("seconds", 1200) * 1000) await pause(100);
    await publishing.stop();
    const sum = await reckon(people.members, publishing.told.acknowledged);
    const { requests: sent, errors, said } = home.front.counts;
    const dropped = people.members.filter((member) => member.returns.length > 0 || !member.socket.connected).length;
    people.close();
    const relayed = (await Promise.all(home.nodes.map((node) => node.metric("tidings_relays_total", 'outcome="answered"')))).reduce((sum, count) => sum + count, 0);
    return [
      {
        work: `${shape.clients} stock clients on polling, ${home.nodes.length} nodes, plain round robin`,
        result: `${sent} requests (${relayed} relayed), ${errors} errors ${said.slice(0, 3).join("; ")}, ${dropped} clients disconnected; ${told(sum)}`,
        holds: sent >= requests && errors === 0 && dropped === 0 && isLossless(sum),
      },
    ];
  } finally {
    await home.stop();
  }
}
