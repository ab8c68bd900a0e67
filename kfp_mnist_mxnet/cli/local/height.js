// In a report: tells the page around it how high the report is, now and as wide as on paper.
// Asked at once, too: a browser does not watch the size of a frame that is out of sight.
const root = document.documentElement;
const tell = () => {
  const screen = root.offsetHeight;
  root.style.width = "640px";
  const print = root.offsetHeight;
  root.style.width = "";
  parent.postMessage([Math.ceil(screen), Math.ceil(print)], "*");
};
addEventListener("load", tell);
addEventListener("resize", tell);
new ResizeObserver(tell).observe(root);
