"""A third opinion on time: the array stepped cycle by cycle with plain lists, from the dense codes, in no hurry."""

from collections import deque

DRAIN = 6


def entries_of(codes, bias_codes, n_pe, index_bits):
    """table[column][pe] = list of entry kinds ("weight" or "padding") of that column slice, by walking local rows."""
    columns = [[int(row[j]) for row in codes] for j in range(codes.shape[1])]
    if bias_codes is not None:
        columns.append([int(code) for code in bias_codes])
    longest = 2**index_bits - 1
    table = []
    for column in columns:
        slices = []
        for pe in range(n_pe):
            kinds, zeros = [], 0
            for code in column[pe::n_pe]:
                if code == 0:
                    zeros += 1
                    continue
                while zeros > longest:
                    kinds.append("padding")
                    zeros -= longest + 1
                kinds.append("weight")
                zeros = 0
            slices.append(kinds)
        table.append(slices)
    return table


def scan(active, n_pe, has_bias):
    """What the scan does in each cycle if nothing blocks it: a column to broadcast, or None for a lost cycle."""
    rows = [list(range(at, min(at + n_pe, len(active)))) for at in range(0, len(active), n_pe)]
    steps = []
    for row in rows:
        sent = [column for column in row if active[column]]
        steps += sent
        if not sent or sent[-1] % n_pe != n_pe - 1:
            steps.append(None)
    if has_bias:
        steps.append(len(active))
    return steps


def simulate(table, steps, n_pe, queue_depth):
    """Returns cycles, T, L and a list per PE of (cycle, kind)."""
    pending = deque(steps)
    queues = [deque() for _ in range(n_pe)]  # (item, cycle from which it is visible)
    freed = [deque() for _ in range(n_pe)]  # cycles in which a slot becomes free again
    used = [0] * n_pe
    left = [deque() for _ in range(n_pe)]
    sent_at, taken_at, log = [], [], [[] for _ in range(n_pe)]
    cycle, last_issue = 1, 0
    while pending or any(queues) or any(left):
        cycle += 1
        for pe in range(n_pe):
            while freed[pe] and freed[pe][0] <= cycle:
                freed[pe].popleft()
                used[pe] -= 1
        if pending:
            if pending[0] is None:
                pending.popleft()
            elif all(slots < queue_depth for slots in used):
                item = (len(sent_at), pending.popleft())
                sent_at.append(cycle)
                taken_at.append([None] * n_pe)
                for pe in range(n_pe):
                    used[pe] += 1
                    queues[pe].append((item, cycle + 1))
        for pe in range(n_pe):
            if not left[pe] and queues[pe] and queues[pe][0][1] <= cycle:
                (number, column), _ = queues[pe].popleft()
                freed[pe].append(cycle + 1)
                taken_at[number][pe] = cycle
                left[pe].extend(table[column][pe] or ["empty"])
            if left[pe]:
                kind = left[pe].popleft()
                log[pe].append((cycle, kind))
                if kind != "empty":
                    last_issue = cycle
    return (last_issue + DRAIN if last_issue else 0), sent_at, taken_at, log
