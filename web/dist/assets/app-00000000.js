// Shows that the page was served; the dashboard takes this place.
document.getElementById("app").textContent = "Headgate answers. The dashboard is not part of this build.";
