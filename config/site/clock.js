// Asks the server for what it knows of itself.
async function ask(path, show) {
  try {
    const response = await fetch(path, { headers: { Accept: "application/json" } });
    show(await response.json());
  } catch {
    show(null);
  }
}

function tick() {
  ask("/api/time", (answer) => {
    document.getElementById("now").textContent = answer?.now ?? "not there";
  });
  ask("/health/ready", (answer) => {
    document.getElementById("ready").textContent = answer?.status ?? "not there";
  });
}

tick();
setInterval(tick, 5000);
