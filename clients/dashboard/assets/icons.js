/**
 * Brings the icon file into the page once, so that an icon first needed while
 * the gateway is away is there all the same.
 */
export async function loadIcons() {
  const response = await fetch('/assets/icons.svg');
  if (!response.ok) return;
  const sprite = new DOMParser().parseFromString(await response.text(), 'image/svg+xml').documentElement;
  if (sprite.localName !== 'svg') return;
  const own = document.importNode(sprite, true);
  own.setAttribute('hidden', '');
  own.setAttribute('aria-hidden', 'true');
  document.body.append(own);
}
