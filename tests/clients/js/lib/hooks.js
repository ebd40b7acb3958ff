// As much of React as a hook needs: state that renders again, effects with dependencies and clean-up.

/** Renders `use(useState/useEffect, ...args)`; `read()` is its newest answer, `render(...args)` gives it other arguments. */
export function mount(make, first) {
  const cells = [];
  let args = [first];
  let latest;
  let at;
  let queued = false;
  let pending = [];
  const schedule = () => {
    if (queued) return;
    queued = true;
    queueMicrotask(() => {
      queued = false;
      render();
    });
  };
  const react = {
    useState(initial) {
      const cell = (cells[at++] ??= { value: initial });
      cell.set ??= (next) => {
        cell.value = typeof next === "function" ? next(cell.value) : next;
        schedule();
      };
      return [cell.value, cell.set];
    },
    useRef(initial) {
      const cell = (cells[at++] ??= { current: initial });
      return cell;
    },
    useEffect(effect, dependencies) {
      const cell = (cells[at++] ??= {});
      const same = cell.dependencies && dependencies.every((one, i) => Object.is(one, cell.dependencies[i]));
      cell.dependencies = dependencies;
      if (!same)
        pending.push(() => {
          cell.cleanup?.();
          cell.cleanup = effect();
        });
    },
  };
  const use = make(react);
  function render() {
    at = 0;
    latest = use(...args);
    const effects = pending;
    pending = [];
    for (const run of effects) run();
  }
  render();
  return {
    read: () => latest,
    render: (...next) => {
      args = next;
      render();
    },
    unmount: () => cells.forEach((cell) => cell.cleanup?.()),
  };
}
