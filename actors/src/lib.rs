//! Session actors: the turn state machine, the prompt, the registry and the session store.
