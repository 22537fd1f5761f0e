// Whoever follows a link from elsewhere comes without the session's cookie (SameSite=Strict), and so here, though signed in.
// A request from this page carries it.
const { next } = document.getElementById("sign-in").dataset;
const answer = await fetch("/ui/session", { headers: { accept: "application/json" } });
if (answer.status === 204) location.replace(next);
