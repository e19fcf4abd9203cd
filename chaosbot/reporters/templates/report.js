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
      document.getElementById("filtered").textContent = shown < all.length ? shown + " of " + all.length : "";
    });
  }

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
