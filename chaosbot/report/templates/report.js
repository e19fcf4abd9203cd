(function () {
  "use strict";
  // Figures name their colours as CSS variables; SVG attributes need the values of the theme that is on.
  function themed(value, styles) {
    if (typeof value === "string") {
      var match = /^var\((--[\w-]+)\)$/.exec(value);
      return match ? styles.getPropertyValue(match[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map(function (one) { return themed(one, styles); });
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (key) { copy[key] = themed(value[key], styles); });
      return copy;
    }
    return value;
  }
  // Charts follow their own box, not the window: printing and folding change it too.
  var watcher = window.ResizeObserver && new ResizeObserver(function (entries) {
    entries.forEach(function (entry) {
      var place = entry.target, size = place._fullLayout && place._fullLayout.width;
      if (size && Math.abs(entry.contentRect.width - size) > 1) window.Plotly.Plots.resize(place);
    });
  });
  function draw() {
    if (!window.Plotly) return;
    var styles = getComputedStyle(document.documentElement);
    document.querySelectorAll("[data-figure]").forEach(function (place) {
      var figure = themed(JSON.parse(document.getElementById(place.dataset.figure).textContent), styles);
      // A finger on a chart scrolls the page.
      if (matchMedia("(pointer: coarse)").matches || innerWidth < 640) figure.layout.dragmode = false;
      if (innerWidth < 640) {
        figure.layout.margin.l = 48;
        figure.layout.margin.r = 4;
        figure.layout.legend.font = { size: 11 };
      }
      window.Plotly.react(place, figure.data, figure.layout, { displayModeBar: false });
      if (watcher) watcher.observe(place);
    });
  }
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (one) { one.open = true; });
    draw();
  });
  addEventListener("afterprint", draw);

  function copied(button) {
    button.textContent = "Copied";
    setTimeout(function () { button.textContent = "Copy"; }, 1600);
  }
  function select(node) {
    var range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("button.copy");
    if (!button) return;
    var source = button.parentNode.querySelector("pre");
    var fallback = function () {
      select(source);
      if (document.execCommand("copy")) copied(button);
    };
    if (navigator.clipboard) {
      navigator.clipboard.writeText(source.textContent).then(function () { copied(button); }, fallback);
    } else fallback();
  });
})();
