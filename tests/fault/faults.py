"""The fault table: what may break, what must come of it, and the tests that hold it. Run as a program: all of them, at full length.

    python tests/fault/faults.py [--list] [--only WORD]

Exit code 1 when a row is red. `make sweep` is the long form of the rows about kill -9.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Row(NamedTuple):
    """One fault."""

    fault: str
    outcome: str
    tests: tuple[str, ...] = ()
    """`file::function` below tests/."""
    why: str = ""
    """Why there is no test of it here; empty when there is."""


IO, TORN, TOOLS = "fault/test_io_errors.py", "fault/test_torn_files.py", "fault/test_bad_tools.py"
STORE, MACHINE, SERVICE = "edges/test_store_faults.py", "fault/test_broken_machine.py", "e2e/test_service.py"
SWEEP, SHIM, SAND, PEER = "fault/test_sweep.py", "edges/test_shim.py", "edges/test_sandbox.py", "edges/test_peer.py"
ATTACKS, SECRETS, HOSTILE = "edges/test_attacks.py", "e2e/test_secrets.py", "tui/test_hostile_bytes.py"
TABLE = (
    Row("kill -9 at a named fault point", "recovers with every promise kept, no person needed", (
        f"{SWEEP}::test_killed_anywhere_the_daemon_recovers_and_keeps_every_promise",
        f"{SWEEP}::test_killed_while_it_deals_with_sessions_it_says_and_does_nothing_twice",
        "fault/test_queue_sweep.py::test_killed_at_a_step_of_the_queue_it_lands_the_same_and_harms_nobody")),
    Row("kill -9 at any system call that changes something", "the same", (
        "fault/test_any_call.py::test_killed_at_any_call_that_changes_something_it_recovers",)),
    Row("kill -9 of the writer at any moment", "every acknowledged event is there", (
        f"{STORE}::test_every_acknowledged_append_is_there_after_kill_9",)),
    Row("the same with a protection off", "the checker sees it", (
        "fault/test_naive.py::test_a_daemon_without_this_protection_is_caught",)),
    Row("power loss: log cut, garbled, zeroed", "an exact prefix", (
        f"{TORN}::test_a_log_that_is_torn_anywhere_opens_as_an_exact_prefix_and_goes_on",
        f"{STORE}::test_a_torn_wal_below_a_snapshot_is_noticed")),
    Row("a sector of the database lost", "found where it touches an event", (
        f"{TORN}::test_a_lost_sector_of_the_database_is_found_where_it_touches_an_event",)),
    Row("a single or lasting I/O error", "no corruption, no false acknowledgement, no event taken", (
        f"{IO}::test_any_failing_write_sync_cut_or_read_of_the_ledger_harms_nothing", f"{IO}::test_the_judge_sees_what_is_wrong")),
    Row("full disk", "recorded, paused, goes on by itself", (
        f"{MACHINE}::test_a_full_disk_pauses_the_factory_and_it_goes_on_by_itself_when_there_is_room",
        f"{STORE}::test_a_full_disk_is_named_recorded_and_survived",
        f"{SHIM}::test_a_full_disk_under_the_log_is_told_and_the_command_ends_as_it_would")),
    Row("the wall clock jumps", "no lease lost, nothing early, order kept", (
        "fault/test_clock.py::test_a_clock_that_jumps_ends_no_agent_and_turns_no_event_round",)),
    Row("two daemons", "the second leaves within a second and names the first", (
        f"{MACHINE}::test_a_second_daemon_says_who_has_the_factory_and_leaves_it_alone",
        "edges/test_store_lock.py::test_a_second_daemon_is_told_the_pid_of_the_first_within_a_second",
        f"{STORE}::test_a_second_writer_is_noticed_before_it_can_fork_the_chain")),
    Row("the daemon hangs", "started anew, agents kept", (
        f"{SERVICE}::test_a_daemon_that_hangs_is_started_anew_and_its_agents_are_kept",
        "edges/test_notify.py::test_the_watchdog_hears_nothing_while_one_of_both_does_not_answer")),
    Row("restart and kill -9 of the service", "no agent lost or started twice, no client refused", (
        f"{SERVICE}::test_agents_and_clients_outlive_a_restart_and_kill_9",)),
    Row("upgrade of the service", "no agent lost or started twice, no client refused, a backup", (
        f"{SERVICE}::test_agents_and_clients_outlive_an_upgrade_and_there_is_a_way_back",)),
    Row("upgrade of the ledger", "a backup, all steps or none; newer is refused", (
        "edges/test_upgrade.py::test_killed_anywhere_it_is_the_old_or_the_new_and_the_next_start_finishes",
        "edges/test_upgrade.py::test_no_format_is_raised_without_a_backup_but_a_mere_release_starts",
        "edges/test_upgrade.py::test_a_newer_format_is_refused_and_nothing_is_written")),
    Row("start of an agent after a crash", "exactly one an attempt", (
        f"{SHIM}::test_of_five_racing_shims_exactly_one_runs_the_command",)),
    Row("merge after a crash", "exactly once", (
        "fault/test_queue_sweep.py::test_each_of_the_20_moments_is_killed_at_or_held_by_a_test_that_exists",)),
    Row("an agent forks and daemonises", "its tree ends with it", (
        f"{SHIM}::test_a_daemonised_child_does_not_outlive_a_stop",
        f"{SHIM}::test_fifty_children_that_ignore_term_do_not_outlive_a_stop",
        f"{SAND}::test_a_shim_that_is_killed_takes_everything_with_it")),
    Row("an agent attacks", "behind strict walls nothing succeeds", (
        f"{ATTACKS}::test_behind_strict_walls_no_attack_succeeds_and_committing_works",)),
    Row("the sandbox is missing", "said with its reason; the job does not run unwalled", (
        f"{SAND}::test_without_its_walls_a_job_does_not_run_and_says_why_and_what_to_do",)),
    Row("planted git configuration, hooks, filters", "nothing of it runs in any git", (
        "edges/test_gitpoison.py::test_nothing_of_a_hostile_clone_runs_from_import_to_landing_and_removal",
        "edges/test_gitcalls.py::test_each_git_of_a_whole_life_is_run_so_that_no_agent_has_a_say",
        "edges/test_git_environment.py::test_every_git_goes_through_the_one_hardened_door",
        "cli/test_cli_gitlook.py::test_looking_at_a_hostile_checkout_runs_nothing")),
    Row("a person's gc under borrowed objects", "what clones borrow stays", (
        "edges/test_checkout.py::test_what_the_clone_borrows_outlives_a_gc_of_the_person",
        "edges/test_merging.py::test_candidates_outlive_the_persons_housekeeping")),
    Row("links, pipes, giants and names in an agent's folders", "not followed, not waited for", (
        "edges/test_beneath.py::test_what_is_no_plain_file_is_refused_at_once",
        "edges/test_beneath_flags.py::test_the_kernel_is_asked_for_every_restriction",
        "house/test_agent_paths.py::test_no_other_opening_exists_than_those_that_say_why")),
    Row("hostile text", "no control code, no action", (
        f"{HOSTILE}::test_a_terminal_gets_nothing_to_obey_from_any_screen",
        "tui/test_hostile_text.py::test_hostile_text_is_drawn_as_text_on_every_screen",
        "cli/test_cli_hostile_text.py::test_no_verb_lets_a_terminal_obey_an_agent",
        "cli/test_cli_hostile_files.py::test_settings_that_an_agent_could_have_written_are_told_as_text",
        "edges/test_hostile_exports.py::test_no_commit_that_we_write_says_anything_to_a_terminal")),
    Row("a secret at every way in", "not in the ledger, logs, commits, exports, crash reports or another agent's environment", (
        f"{SECRETS}::test_no_byte_of_the_factory_holds_a_secret_that_came_in_anywhere",
        f"{SECRETS}::test_a_daemon_that_crashes_tells_it_without_secrets_or_control_codes",
        f"{SECRETS}::test_an_agent_has_the_secrets_that_are_named_for_it_and_nobody_elses")),
    Row("system calls past the walls, typing into a pane's terminal", "refused", (
        f"{SAND}::test_system_calls_that_reach_past_the_walls_are_refused",)),
    Row("another person or an agent at the socket", "refused", (
        f"{PEER}::test_the_daemon_answers_the_person_and_refuses_an_agent_before_it_says_anything",)),
    Row("git or tmux hangs, floods, fails, talks nonsense", "nothing lands falsely, the daemon answers, work goes on", (
        f"{TOOLS}::test_a_git_that_misbehaves_lands_nothing_falsely_and_holds_up_nobody_else",
        f"{TOOLS}::test_a_tmux_that_misbehaves_is_on_the_board_and_the_daemon_starts_all_the_same")),
    Row("the agent's program hangs, floods, fails, forks, talks nonsense, is not there", "nothing lands falsely, work goes on", (
        "fault/test_bad_agents.py::test_a_bad_program_lands_nothing_harms_nobody_and_holds_up_no_answer",
        "e2e/test_supervise.py::test_an_agent_that_floods_its_pane_delays_nobody_elses_verdict_past_a_second")),
    Row("a check's program hangs, floods, fails", "unevaluated is no pass", (
        "e2e/test_bad_checks.py::test_a_check_that_cannot_say_yes_or_no_asks_a_person_and_never_lands",
        "e2e/test_bad_checks.py::test_a_flood_of_output_is_cut_in_the_middle_and_the_check_still_counts")),
    Row("the tmux server or the wrappers die", "tried again, nobody's fault", (
        f"{MACHINE}::test_agents_that_were_taken_away_are_tried_again_and_nobody_counts_it_against_the_change",
        f"{MACHINE}::test_a_dead_tmux_server_is_on_the_board_until_there_is_one_again")),
    Row("reboot", "the service is there, the work goes on", (
        f"{SERVICE}::test_after_a_reboot_the_service_is_there_and_the_work_goes_on",
        f"{MACHINE}::test_after_a_reboot_the_work_goes_on")),
    Row("crash loop", "ends after five tries and says why", (
        f"{SERVICE}::test_a_crash_loop_ends_after_five_tries_and_says_so",)),
    Row("a coroutine is cancelled in a write", "whole or nothing",
        why="a statement is the transaction: there is no open one that a cancellation could leave"),
    Row("a notification after a crash", "at least once, with its key", why="nothing is sent anywhere yet"),
    Row("evidence altered", "verify refuses", why="there is no `andon verify` yet"),
    Row("a host is lost or cut off", "its tasks go on elsewhere", why="one machine only"),
    Row("web view", "hostile requests are refused", why="there is no web view"),
)


def main() -> int:
    """Run the tests of the table and print it with what came of each row."""
    parser = argparse.ArgumentParser(description="the fault laboratory")
    parser.add_argument("--list", action="store_true", help="print the table only")
    parser.add_argument("--only", default="", help="rows whose fault has this word in it")
    args = parser.parse_args()
    table = [row for row in TABLE if args.only in row.fault]
    seen = {} if args.list else run(table)
    red = 0
    for row in table:
        told = sorted({seen.get(test.rpartition("::")[2], "-") for test in row.tests}) or ["not here"]
        red += "red" in told or ("-" in told and not args.list)
        print(f"{'/'.join(told):<10} {row.fault}: {row.outcome}{f' ({row.why})' if row.why else ''}")
    return 1 if red else 0


def run(table: list[Row]) -> dict[str, str]:
    """What came of each test function: green, red, skipped; the worst of its cases."""
    tests = sorted({f"tests/{test}" for row in table for test in row.tests})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-q", "--timeout=3600", f"--junitxml={report}", *tests]
        subprocess.run(argv, cwd=ROOT, env={**os.environ, "ANDON_FAULTS": "1"}, check=False)
        cases = ET.parse(report).getroot().iter("testcase") if report.exists() else ()
        found: dict[str, str] = {}
        for case in cases:
            kinds = {child.tag for child in case}
            state = "red" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "green"
            name = case.get("name", "").partition("[")[0]
            found[name] = max(state, found.get(name, ""), key=("", "green", "skipped", "red").index)
        return found


if __name__ == "__main__":
    sys.exit(main())
