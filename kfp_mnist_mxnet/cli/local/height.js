// In a report: tells the page around it how high the report is, now and as wide as on paper.
const root = document.documentElement;
new ResizeObserver(() => {
  const screen = root.offsetHeight;
  root.style.width = "640px";
  const print = root.offsetHeight;
  root.style.width = "";
  parent.postMessage([Math.ceil(screen), Math.ceil(print)], "*");
}).observe(root);
