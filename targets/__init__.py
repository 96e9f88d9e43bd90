"""Hardware families: each knows its boards, its pipeline and how to emit for it."""
