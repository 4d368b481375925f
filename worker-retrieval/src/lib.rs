//! Finds what a tenant knows: chunking, embedding, the search index, fusion and ingest.
