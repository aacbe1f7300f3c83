/* The figures of struct hak_stats, in order, with the words that people read: once,
 * for both forms of the statistics, for the statistics page, and for the tools. */
#ifndef HAK_COMMON_STATS_FIELDS_H
#define HAK_COMMON_STATS_FIELDS_H

#define STATS_FIELDS(F)                                                                            \
	F(mapped_bytes, "address space held")                                                      \
	F(metadata_bytes, "metadata")                                                              \
	F(small_bytes, "small blocks, live and cached")                                            \
	F(small_cached_bytes, "  of these, in thread caches")                                      \
	F(large_bytes, "large blocks")                                                             \
	F(huge_bytes, "huge blocks")                                                               \
	F(huge_cached_bytes, "freed huge blocks kept")                                             \
	F(free_dirty_bytes, "free, not yet given back")                                            \
	F(superslabs, "superslabs")                                                                \
	F(slabs, "slabs")                                                                          \
	F(heaps, "heaps")                                                                          \
	F(purged_bytes_total, "given back so far")                                                 \
	F(purge_failures, "refused purges")                                                        \
	F(map_failures, "refused mappings")                                                        \
	F(remote_batches, "batches of remote frees")                                               \
	F(bad_pointers, "bad pointers reported")                                                   \
	F(held_bytes, "held, as limits count it")                                                  \
	F(purge_passes, "maintenance passes")                                                      \
	F(purge_longest_ns, "longest pass, ns")                                                    \
	F(purge_longest_cpu_ns, "longest pass, ns of processor time")

#endif
