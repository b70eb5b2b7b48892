
"""The guards of evidence, in the form of the table of guards: what keeps a seal, a key and a statement from being what they are not."""

from fault.guards_table import EDGES, Guard, take

SEAL, KEYS, DSSE, TREE = "edges/test_sealing.py", "edges/test_keys.py", "edges/test_dsse.py", "edges/test_merkle.py"
NOT_SEALED = f"{SEAL}::test_evidence_that_is_missing_unsigned_foreign_or_of_another_tree_is_not_sealed"
FORGED = f"{SEAL}::test_a_bundle_that_is_gone_or_forged_is_made_anew"
ONCE = f"{SEAL}::test_the_same_parts_are_sealed_once_also_by_a_later_daemon_whose_ledger_grew"
MOVED = f"{SEAL}::test_who_moves_the_ref_without_the_lock_makes_the_seal_start_again_and_loses_nothing"
RUNS = f"{SEAL}::test_a_run_without_a_signed_envelope_of_this_tree_is_named_and_left_out"
SPELLING = f"{DSSE}::test_only_the_one_spelling_of_an_envelope_is_read"
SECRET = f"{DSSE}::test_no_statement_carries_a_secret"
PATHS = f"{TREE}::test_each_leaf_is_proven_by_the_standards_own_path_and_nothing_else_is"


def seals() -> list[Guard]:
    """What may be sealed, and what a seal that is there may say."""
    file = f"{EDGES}/sealing.py"
    return [
        take("seal", "an earlier bundle is signed by this factory", file, "whole = covered and keys.daemon.signed(envelopes[-1])", "whole = covered", FORGED),
        take("seal", "an earlier bundle rests on this evidence", file, " and wanted <= {*inputs}", "", FORGED),
        take("seal", "a run is about this tree", file, 'fits = about.get("gitTree") == parts.tree and', "fits = True and", NOT_SEALED),
        take("seal", "an approval is about this commit", file, "(tree_alone or about", "(True or about", f"{SEAL}::test_an_approval_of_another_commit_or_of_another_kind_is_not_sealed"),
        take("seal", "a run is signed by the verifier", file, "if signed(envelope) else", "if True else", NOT_SEALED),
        take("seal", "a statement is of its kind", file, "if kind == wanted else", "if True else", NOT_SEALED),
        take("seal", "a huge log stays out", file, "0 <= blobs.size(one) <= BLOB_BYTES", "0 <= blobs.size(one)", f"{SEAL}::test_a_huge_log_stays_out_of_the_repository_unread_and_is_named_all_the_same"),
        take("seal", "a landing's run is signed and about its tree", file, "== tree and keys.verifier.signed(envelope)", "== tree or keys.verifier.signed(envelope)", RUNS),
        take("seal", "an earlier landing record is signed by this factory", file, "return first.payload == statement and keys.daemon.signed(first)", "return first.payload == statement", f"{SEAL}::test_a_forged_landing_record_is_replaced_and_stays_in_the_history"),
        take("seal", "the same parts are sealed once", file, "            if found is not None:\n                return found\n", "", ONCE),
        take("seal", "the ref only moves forward", f"{EDGES}/evidence_ref.py", '"--quiet", "--done"', '"--quiet", "--force", "--done"', MOVED),
        take("seal", "a seal stands on the one before", f"{EDGES}/evidence_ref.py", 'b"from %s\\n" % tip.encode() if tip else b""', 'b""', ONCE),
        take("seal", "a lock that a killed git left is cleared", f"{EDGES}/evidence_ref.py", '        clear_stale_lock(self._git_dir / f"{EVIDENCE_REF}.lock")\n', "", f"{SEAL}::test_a_lock_that_a_killed_git_left_on_the_ref_is_cleared"),
        take("seal", "what is required was proven by something that ran", f"{EDGES}/statements.py", 'if one.status == "proven" and one.evidence', 'if one.status == "proven"', f"{SEAL}::test_the_verdict_passes_only_when_all_that_is_required_was_proven_by_a_run"),
        take("seal", "no secret is signed by the daemon", f"{EDGES}/statements.py", "dsse.canonical(withheld.redactor().struct(body))", "dsse.canonical(body)", SECRET),
        take("seal", "no secret is signed by the verifier", f"{EDGES}/evidence.py", "dsse.canonical(withheld.redactor().struct(body))", "dsse.canonical(body)", SECRET),
    ]


def keys() -> list[Guard]:
    """Who may sign, and how what is signed is read."""
    file = f"{EDGES}/keys.py"
    return [
        take("keys", "of two that make a key the first wins", file, "os.link(name, path)", "os.replace(name, path)", f"{KEYS}::test_of_many_that_make_the_keys_at_once_all_get_the_same"),
        take("keys", "others cannot reach it", file, "if seen.st_mode & 0o077:", "if False:", f"{KEYS}::test_a_folder_or_key_that_others_may_reach_is_refused_and_not_mended"),
        take("keys", "it is ours", file, "if seen.st_uid != os.geteuid():", "if False:", f"{KEYS}::test_what_belongs_to_another_user_is_refused"),
        take("keys", "it is no link", file, " | os.O_NOFOLLOW", "", f"{KEYS}::test_a_link_in_the_place_of_a_key_or_of_the_folder_is_refused"),
        take("keys", "what old keys signed still verifies", f"{EDGES}/trust.py", "daemon=_with(told.daemon, before.daemon)", "daemon=told.daemon", f"{KEYS}::test_new_keys_stand_before_the_old_ones_and_what_a_person_wrote_stays"),
        take("keys", "one spelling of an envelope", f"{EDGES}/dsse.py", "if encode(made) != line:", "if False:", SPELLING),
        take("keys", "a signature counts under its own key's name", f"{EDGES}/dsse.py", "one.keyid == keyid and ", "", f"{DSSE}::test_a_changed_payload_type_or_signature_is_refused_by_them_and_by_us"),
        take("keys", "no number that half of the world reads as another", f"{EDGES}/dsse.py", "case int() if abs(value) <= LARGEST:", "case int():", f"{DSSE}::test_what_has_no_one_spelling_is_never_signed"),
        take("keys", "no row is missing under a checkpoint", f"{EDGES}/checkpoints.py", "if seq != into.size + 1:", "if False:", f"{TREE}::test_a_row_that_is_missing_in_the_middle_is_named"),
        take("keys", "a path ends at the root", f"{EDGES}/merkle.py", "return last == 0 and found == root", "return found == root", PATHS),
        take("keys", "a beginning ends at both roots", f"{EDGES}/merkle.py", "return last == 0 and first == old_root and second == root", "return first == old_root", f"{TREE}::test_each_beginning_is_proven_by_the_standards_own_proof_and_no_other_tree_is"),
        take("keys", "the verifier signs what a check showed", f"{EDGES}/check.py", "line = self._verifier.sign(", "line = bytes(", "e2e/test_isolation.py::test_evidence_states_the_isolation_that_was_reached"),
    ]
