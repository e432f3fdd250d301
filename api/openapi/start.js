// Starts the interactive documentation; a file of its own, since the page allows no inline script.
window.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    filter: true,
    persistAuthorization: false, // a key stays in this page's memory only
    queryConfigEnabled: false, // no other description through the page's URL
    validatorUrl: null, // nothing is asked of another server
  });
});
