(function () {
  "use strict";
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (one) { one.open = true; });
  });

  // Without script there is no filter and every finding is shown.
  var filter = document.getElementById("filter");
  if (filter) {
    filter.parentNode.hidden = false;
    filter.addEventListener("input", function () {
      var words = filter.value.toLowerCase().split(/\s+/), all = document.querySelectorAll("article.finding"), shown = 0;
      all.forEach(function (one) {
        var fits = words.every(function (word) { return one.dataset.words.indexOf(word) >= 0; });
        one.hidden = !fits;
        document.querySelector('li[data-finding="' + one.id + '"]').hidden = !fits;
        shown += fits ? 1 : 0;
      });
      document.querySelectorAll(".cause, section.severity").forEach(function (group) {
        group.hidden = !group.querySelector("article.finding:not([hidden])");
      });
      document.getElementById("filtered").textContent = shown < all.length ? shown + " of " + all.length : "";
    });
  }

  function unfold() {
    var aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (aim && aim.tagName === "DETAILS") aim.open = true;
  }
  addEventListener("hashchange", unfold);
  unfold();

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
