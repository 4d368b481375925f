//! The HTTP, SSE and WebSocket interface, authentication, admission and the chat page.
