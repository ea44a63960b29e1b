# One of two who want the same keys: a plan goes in as arguments (role, first key, number of trials, time between two, window, in ns), then on
# stdin the moment of the first one by CLOCK_MONOTONIC; what happened in each trial comes out.
#
# The victim looks whether the key has a queue, spends the window on something else, and asks for the queue, in every other trial
# exclusively. The squatter makes a queue at a moment between before that window and after it. Neither waits for the other.
use strict;
use warnings;

my ($role, $first, $trials, $every, $window) = @ARGV;
srand $$;
$| = 1;
print "process $$\n";
my $begin = <STDIN>;

# clock_gettime(2), x86-64.
sub now { my $time = "\0" x 16; syscall 228, 1, $time; my ($s, $ns) = unpack 'qq', $time; $s * 1_000_000_000 + $ns }

sub until_moment {
    my ($moment) = @_;
    my $left = $moment - now();
    select undef, undef, undef, ($left - 200_000) / 1e9 if $left > 300_000;
    1 while now() < $moment;
}

sub get { my ($key, $flags) = @_; my $got = msgget $key, $flags; defined $got ? $got + 0 : -($! + 0) }

my $out = '';
for my $nth (0 .. $trials - 1) {
    my ($key, $start) = ($first + $nth, $begin + $nth * $every);
    if ($role eq 'squatter') {
        until_moment($start + int($window * (rand(2.6) - 0.3)));
        $out .= "$key " . get($key, 03666) . "\n";
        next;
    }
    until_moment($start);
    my $check = get($key, 0);
    until_moment(now() + $window);
    my $got = $check >= 0 ? $check : get($key, $nth % 2 ? 01666 : 03666);
    # Whose it is: msg_perm.cuid.
    my $state;
    my $cuid = $got >= 0 && defined msgctl($got, 2, $state) ? unpack('x12 L', $state) : -1;
    $out .= "$key $check $got $cuid\n";
}
print $out;
