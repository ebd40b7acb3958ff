/** Round numbers for axes. Pure. */

/** The next of 1, 2, 5, 10, 20, 50, … */
export function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const first = [1, 2, 5, 10].find((each) => each * power >= value * 0.999);
  return first * power;
}
