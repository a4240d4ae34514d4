// In-app browsers and sandboxed frames may refuse to store anything. The page then remembers until it is closed.
(() => {
  class Memory {
    getItem(key) {
      return Object.hasOwn(this, key) ? this[key] : null;
    }
    setItem(key, value) {
      this[key] = String(value);
    }
    removeItem(key) {
      delete this[key];
    }
  }
  for (const name of ["localStorage", "sessionStorage"]) {
    try {
      if (window[name]) continue;
    } catch {} // access is denied
    Object.defineProperty(window, name, { value: new Memory(), configurable: true });
  }
})();
