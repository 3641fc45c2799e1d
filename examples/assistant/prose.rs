//! The texts of the simulated model.

/// Returns the text that answers a question, by the words in it.
pub(crate) fn answer(question: &str) -> String {
    let question = question.to_lowercase();
    let known = ANSWERS.iter().find(|(words, _)| words.iter().any(|word| question.contains(word)));
    match known {
        Some((_, text)) => (*text).into(),
        None if question.contains("words") => format!("{HERE}{ABOUT_ITSELF}"),
        None => format!("{UNKNOWN}{ABOUT_ITSELF}"),
    }
}

const ANSWERS: [(&[&str], &str); 5] = [
    (&["tornado", "whirlwind", "twister", "storm"], TORNADO),
    (&["leaves", "leaf", "autumn", "foliage"], LEAVES),
    (&["sea", "ocean", "salt"], SEA),
    (&["bread", "bake", "loaf", "dough"], BREAD),
    (&["story", "lighthouse", "tale"], LIGHTHOUSE),
];

const TORNADO: &str = "\
Most tornadoes begin with a thunderstorm that has learned to turn. Near the ground the wind is slow and comes from one \
side; a few kilometres higher it is fast and comes from another. The air between the two is rolled, like a pencil \
between two palms, into a long flat tube that nobody can see.

Then the storm breathes in. Its updraft, warm and damp, lifts the middle of the tube until the roll stands upright, \
and now the storm itself rotates, slowly, over several kilometres. From far away one can watch it: the tower of cloud \
is striped, as if it had been thrown on a potter’s wheel.

What happens next is still argued about. Cooler air sinks behind the rain and wraps itself around the foot of the \
storm, and the rotation near the ground is drawn together. Whatever is drawn together spins faster, as a skater does \
who pulls in her arms.

Most storms that turn never get this far. A few do, and for some minutes a column of air holds together that was, only \
that morning, nothing more than a warm wind over a field.";

const LEAVES: &str = "\
The yellow was there all along. In summer a leaf is so full of chlorophyll, the green with which it catches light, that \
the other colours in it have no say. Chlorophyll does not last; the tree makes more of it every day, and the leaf stays \
green in the way that a fountain stays full.

When the days grow short the tree stops paying for this. It takes the leaf apart and carries home what is worth having, \
the nitrogen above all, and lets the green fade. What remains are the carotenoids, which also colour carrots and \
canaries: the birches turn yellow because something has left, not because something has come.

Red is another matter. The red of a maple is made new, in the last weeks, out of sugar, by a leaf that is about to \
fall. Why a tree should spend anything on that is not quite settled. Perhaps the red is a parasol, which shades the leaf \
while its valuables are being packed. It is brightest after sunny days and cold nights, and that would fit.";

const SEA: &str = "\
Rain is a little sour. On its way down it takes up carbon dioxide, and when it runs over rock it dissolves a trace of \
it, so that every river carries salt to the sea: far too little to taste, and without a pause for some four thousand \
million years.

The sun takes water back out of the sea, and only water. The clouds are fresh, the rivers are nearly fresh, and what \
they brought stays behind. Hot springs on the sea floor add some of their own. So each kilogram of sea water has come \
to hold about thirty-five grams of salt, two spoonfuls in a bottle.

It would be natural to think that the sea must grow saltier for ever. It does not, or hardly. Shells are built from \
what is dissolved in it, clay binds it, and old bays dry out and leave beds of salt, which is where the salt in your \
kitchen may come from. About as much leaves the water as arrives. The sea is not a kettle that boils dry, but a guest \
book: everybody who came by has left something, and now and then a page is taken out.";

const BREAD: &str = "\
Take five hundred grams of flour, three hundred and fifty of water, ten of salt, and as much dry yeast as lies on the \
tip of a knife. Stir it with a spoon until no flour is dry. It will look like a mistake. Cover the bowl and go to bed.

In the morning it has become dough by itself: time has done what your arms would have. Turn it out onto a floured \
table, fold it from four sides as one folds a letter, and let it lie for an hour under a cloth. Meanwhile put a heavy \
pot with its lid into the oven, as hot as the oven goes, and let the pot grow hot too.

Drop the dough into the pot, with the seam up, and put the lid on; the steam that it gives off keeps the crust soft \
while it still wants to rise. After half an hour take the lid off, and bake until it is darker than you dare.

Then comes the hard part. Stand the loaf on a rack and listen: the crust crackles as it cools. Leave it alone for an \
hour. Nobody ever has.";

const LIGHTHOUSE: &str = "\
The lighthouse at Skerry Point had been automatic for thirty years when it began to receive letters. They were \
addressed to the keeper, and the postman, who was a fair man, pushed them under the door.

The engineer found them in spring, when she came to change the batteries. A girl on the far side of the bay wanted to \
know what it was like to be awake when everybody slept. She could see the light from her bed, she wrote. She counted to \
nine, and there it was. She had been counting since her brother went to sea.

The engineer was not the keeper, and had a ferry to catch. She read all eleven letters on the stairs. Then she went up \
to the lamp, opened the panel, and thought for a while.

That night the girl counted to nine, and it was dark. Ten. Eleven. Then the light came, and went, and came again at \
once: two beats, like someone who knocks. And then it turned as before, every nine seconds, as it always had, so that \
the ships should know where they were.

She wrote no more letters after that. But she slept, and her brother, coming home, is said to have asked who on earth \
had waved.";

const HERE: &str = "\
I am only a simulated model, and know these sentences by heart. But the way they take to you is real.";

const UNKNOWN: &str = "\
I am only a simulated model. I know a few things by heart, and this is not one of them; so let me tell you instead how \
these words reach you.";

const ABOUT_ITSELF: &str = "

Somewhere in the server a task is writing them, one token at a time. It does not know your page. It puts each token \
into a log and goes on, and your page reads the log from where it stands. So you may reload in the middle of a \
sentence: you are sent what was written so far, and then the sentence goes on. A second tab shows the same, and so does \
a friend to whom you send the address.

Press Stop, in whichever tab, and the task hears of it, even if it runs in another process. If that process is killed, \
nobody renews its lease; within ten seconds another one notices, and writes the last word in its place. And if the \
server is asked politely to go, it finishes its sentence first, as one should.

When I have finished, this answer is kept for an hour. Whoever comes later gets it in one piece.";
