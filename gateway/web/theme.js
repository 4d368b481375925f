// A classic script in the head, so that the chosen theme is set before the first paint.
try {
  const theme = localStorage.getItem("frontdesk.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: the system's theme stays.
}
