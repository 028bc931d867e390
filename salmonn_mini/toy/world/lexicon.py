"""The words of the toy world, each with its German, Chinese and Japanese counterpart, and which words fit together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """An English word or phrase and its translations.

    Attributes:
        gender: of the German noun (m, f or n); of a name, whether a boy (m) or a girl (f) has it.
        measure: the Chinese measure word of a noun.
    """

    en: str
    de: str
    zh: str
    ja: str
    gender: str = ""
    measure: str = "个"


def _table(text: str) -> dict[str, Word]:
    """Read rows of `en | de | zh | ja`; German nouns come with their article, Chinese ones with their measure word."""
    genders = {"der": "m", "die": "f", "das": "n"}
    words = {}
    for row in text.strip().split("\n"):
        en, de, zh, ja = (cell.strip() for cell in row.split("|"))
        article, _, noun = de.partition(" ")
        measure, _, counted = zh.partition(" ")
        if article in genders and counted:
            words[en] = Word(en, noun, counted, ja, genders[article], measure)
        else:
            words[en] = Word(en, de, zh, ja)
    return words


BOYS = _table("""
    Tom    | Tom    | 汤姆 | トム
    Peter  | Peter  | 彼得 | ピーター
    David  | David  | 大卫 | デイビッド
    Jack   | Jack   | 杰克 | ジャック
    Paul   | Paul   | 保罗 | ポール
    Henry  | Henry  | 亨利 | ヘンリー
    Daniel | Daniel | 丹尼尔 | ダニエル
    Martin | Martin | 马丁 | マーティン
""")

GIRLS = _table("""
    Emma  | Emma  | 艾玛 | エマ
    Sarah | Sarah | 萨拉 | サラ
    Laura | Laura | 劳拉 | ローラ
    Alice | Alice | 爱丽丝 | アリス
    Susan | Susan | 苏珊 | スーザン
    Kate  | Kate  | 凯特 | ケイト
    Nina  | Nina  | 妮娜 | ニーナ
    Lucy  | Lucy  | 露西 | ルーシー
""")

NAMES = BOYS | GIRLS

PEOPLE = _table("""
    man      | der Mann     | 个 男人   | 男の人
    woman    | die Frau     | 个 女人   | 女の人
    boy      | der Junge    | 个 男孩   | 少年
    girl     | das Mädchen  | 个 女孩   | 少女
    teacher  | der Lehrer   | 位 老师   | 先生
    doctor   | der Arzt     | 位 医生   | 医者
    farmer   | der Bauer    | 位 农夫   | 農夫
    baker    | der Bäcker   | 位 面包师 | パン屋
    king     | der König    | 位 国王   | 王
    queen    | die Königin  | 位 王后   | 女王
    student  | der Student  | 个 学生   | 学生
    singer   | der Sänger   | 位 歌手   | 歌手
    painter  | der Maler    | 位 画家   | 画家
    dancer   | der Tänzer   | 位 舞者   | ダンサー
    sailor   | der Matrose  | 个 水手   | 船乗り
    neighbor | der Nachbar  | 个 邻居   | 隣人
""")

ANIMALS = _table("""
    dog    | der Hund   | 只 狗   | 犬
    cat    | die Katze  | 只 猫   | 猫
    horse  | das Pferd  | 匹 马   | 馬
    cow    | die Kuh    | 头 牛   | 牛
    bird   | der Vogel  | 只 鸟   | 鳥
    sheep  | das Schaf  | 只 羊   | 羊
    duck   | die Ente   | 只 鸭子 | 鴨
    mouse  | die Maus   | 只 老鼠 | 鼠
    rabbit | das Kaninchen | 只 兔子 | 兎
    monkey | der Affe   | 只 猴子 | 猿
""")

FOOD = _table("""
    apple    | der Apfel    | 个 苹果   | りんご
    cake     | der Kuchen   | 个 蛋糕   | ケーキ
    orange   | die Orange   | 个 橙子   | オレンジ
    cookie   | der Keks     | 块 饼干   | クッキー
    egg      | das Ei       | 个 鸡蛋   | 卵
    sandwich | das Sandwich | 个 三明治 | サンドイッチ
    carrot   | die Karotte  | 根 胡萝卜 | 人参
    potato   | die Kartoffel | 个 土豆  | じゃがいも
""")

VEHICLES = _table("""
    car   | das Auto    | 辆 汽车   | 車
    truck | der Lastwagen | 辆 卡车 | トラック
    bus   | der Bus     | 辆 公共汽车 | バス
    bike  | das Fahrrad | 辆 自行车 | 自転車
""")

THINGS = (
    FOOD
    | VEHICLES
    | _table("""
    ball      | der Ball      | 个 球   | ボール
    book      | das Buch      | 本 书   | 本
    cup       | die Tasse     | 个 杯子 | カップ
    box       | die Kiste     | 个 箱子 | 箱
    flower    | die Blume     | 朵 花   | 花
    hat       | der Hut       | 顶 帽子 | 帽子
    key       | der Schlüssel | 把 钥匙 | 鍵
    lamp      | die Lampe     | 盏 灯   | ランプ
    letter    | der Brief     | 封 信   | 手紙
    phone     | das Telefon   | 部 电话 | 電話
    picture   | das Bild      | 幅 画   | 絵
    ring      | der Ring      | 枚 戒指 | 指輪
    chair     | der Stuhl     | 把 椅子 | 椅子
    table     | der Tisch     | 张 桌子 | テーブル
    bag       | die Tasche    | 个 包   | 鞄
    bottle    | die Flasche   | 个 瓶子 | 瓶
    guitar    | die Gitarre   | 把 吉他 | ギター
    violin    | die Geige     | 把 小提琴 | バイオリン
    clock     | die Uhr       | 个 钟   | 時計
    umbrella  | der Regenschirm | 把 雨伞 | 傘
    newspaper | die Zeitung   | 份 报纸 | 新聞
""")
)

COLORS = _table("""
    red    | rot     | 红色的 | 赤い
    blue   | blau    | 蓝色的 | 青い
    green  | grün    | 绿色的 | 緑の
    white  | weiß    | 白色的 | 白い
    black  | schwarz | 黑色的 | 黒い
    yellow | gelb    | 黄色的 | 黄色い
    brown  | braun   | 棕色的 | 茶色い
""")

SIZES = _table("""
    big   | groß  | 大 | 大きな
    small | klein | 小 | 小さな
""")
AGES = _table("""
    old | alt | 旧 | 古い
    new | neu | 新 | 新しい
""")

# Adjectives of subjects and of objects differ where Chinese and Japanese have two words for "old".
SUBJECT_ADJECTIVES = SIZES | _table("""
    old    | alt     | 年老的 | 年老いた
    young  | jung    | 年轻的 | 若い
    hungry | hungrig | 饥饿的 | お腹を空かせた
    tired  | müd     | 疲倦的 | 疲れた
    clever | klug    | 聪明的 | 賢い
    kind   | freundlich | 善良的 | 親切な
""")
# What is not said of a subject.
UNLIKE = (
    dict.fromkeys(PEOPLE, ("big", "small"))
    | dict.fromkeys(("boy", "girl"), ("big", "old", "young"))
    | dict.fromkeys(ANIMALS, ("kind",))
)
OBJECT_ADJECTIVES = COLORS | SIZES | AGES

VERBS = _table("""
    sees   | sieht    | 看见了 | 見る
    buys   | kauft    | 买   | 買う
    finds  | findet   | 找到了 | 見つける
    likes  | mag      | 喜欢 | 好きだ
    hides  | versteckt | 藏  | 隠す
    paints | malt     | 画   | 描く
    carries | trägt   | 带着 | 運ぶ
    sells  | verkauft | 卖   | 売る
    wants  | möchte   | 想要 | 欲しがる
    holds  | hält     | 拿着 | 持つ
    loses  | verliert | 弄丢了| なくす
    cleans | putzt    | 擦   | 拭く
    eats   | isst     | 吃   | 食べる
    reads  | liest    | 读   | 読む
    writes | schreibt | 写   | 書く
    plays  | spielt   | 演奏 | 弾く
    drives | fährt    | 开   | 運転する
    opens  | öffnet   | 打开 | 開ける
    wears  | trägt    | 戴   | 身につける
    washes | wäscht   | 洗   | 洗う
    fixes  | repariert | 修理 | 直す
    breaks | zerbricht | 打破了| 割る
""")

PAST = {
    "sees": "saw", "buys": "bought", "finds": "found", "likes": "liked", "hides": "hid", "paints": "painted",
    "carries": "carried", "sells": "sold", "wants": "wanted", "holds": "held", "loses": "lost", "cleans": "cleaned",
    "eats": "ate", "reads": "read", "writes": "wrote", "plays": "played", "drives": "drove", "opens": "opened",
    "wears": "wore", "washes": "washed", "fixes": "fixed", "breaks": "broke",
}  # fmt: skip
BASE = {s: s.removesuffix("s") for s in VERBS} | {"carries": "carry", "washes": "wash", "fixes": "fix"}

HOUSEHOLD = ("lamp", "picture", "chair", "table", "clock")  # not seen outdoors
SMALL = tuple(thing for thing in THINGS if thing not in VEHICLES and thing not in ("table", "chair"))
_WARES = tuple(thing for thing in THINGS if thing not in ("bus", "letter"))
# What a verb can be done to, where that is not everything.
OBJECTS_OF: dict[str, tuple[str, ...]] = {
    "finds": SMALL,
    "hides": SMALL,
    "carries": SMALL,
    "holds": SMALL,
    **dict.fromkeys(("buys", "sells", "wants"), _WARES),
    "paints": (*VEHICLES, "picture", "flower", "bottle", "cup", "violin", "apple", "orange"),
    "loses": ("ball", "book", "hat", "key", "letter", "phone", "picture", "ring", "bag", "umbrella"),
    "cleans": (*VEHICLES, "cup", "box", "lamp", "phone", "chair", "table", "bag", "bottle", "clock"),
    "eats": tuple(FOOD),
    "reads": ("book", "letter", "newspaper"),
    "writes": ("book", "letter"),
    "plays": ("guitar", "violin"),
    "drives": ("car", "truck", "bus"),
    "opens": ("box", "letter", "bag", "bottle"),
    "wears": ("hat", "ring"),
    "washes": (*VEHICLES, "cup", "apple", "carrot", "potato", "bottle"),
    "fixes": (*VEHICLES, "lamp", "phone", "chair", "table", "guitar", "violin", "clock", "umbrella"),
    "breaks": ("cup", "lamp", "bottle", "egg"),
}
_TREATS = (*FOOD, "flower", "ball")
# What an animal does, and to what.
ANIMAL_VERBS: dict[str, tuple[str, ...]] = {
    "sees": tuple(thing for thing in THINGS if thing not in HOUSEHOLD),
    "finds": tuple(thing for thing in SMALL if thing not in HOUSEHOLD),
    "likes": _TREATS,
    "wants": _TREATS,
    "eats": tuple(FOOD),
}
LASTING = ("likes", "wants")  # verbs that are said without a place and a time
CHANCE = ("sees", "finds", "loses")  # what nobody does on purpose
REPEATED = ("eats", "reads", "plays", "drives", "wears", "cleans", "washes", "sees")

PLAIN = ("big", "small", "old", "new")
# The adjectives of an object, where they are not all of OBJECT_ADJECTIVES.
ADJECTIVES_OF: dict[str, tuple[str, ...]] = dict.fromkeys(FOOD, ("big", "small")) | {
    "apple": ("big", "small", "red", "green"),
    "egg": ("big", "small", "white", "brown"),
    "flower": ("big", "small", "red", "blue", "white", "yellow"),
    "picture": ("small", "new"),
    "newspaper": ("old",),
    "letter": ("old", "new"),
    "guitar": ("old", "new"),
    "violin": ("old", "new"),
} | dict.fromkeys(("key", "ring"), PLAIN)  # fmt: skip

INDOORS = _table("""
    in the kitchen | in der Küche      | 在厨房里 | 台所で
    at school      | in der Schule     | 在学校里 | 学校で
    in the house   | im Haus           | 在房子里 | 家で
    in the church  | in der Kirche     | 在教堂里 | 教会で
    at the hotel   | im Hotel          | 在酒店里 | ホテルで
    at the library | in der Bibliothek | 在图书馆里 | 図書館で
    in the office  | im Büro           | 在办公室里 | 事務所で
    in the store   | im Laden          | 在商店里 | 店で
""")
OUTDOORS = _table("""
    in the garden  | im Garten         | 在花园里 | 庭で
    in the park    | im Park           | 在公园里 | 公園で
    in the forest  | im Wald           | 在森林里 | 森で
    on the street  | auf der Straße    | 在街上   | 通りで
    at the market  | auf dem Markt     | 在市场里 | 市場で
    in the city    | in der Stadt      | 在城市里 | 町で
    in the village | im Dorf           | 在村子里 | 村で
    at the station | am Bahnhof        | 在车站   | 駅で
    on the farm    | auf dem Bauernhof | 在农场里 | 農場で
    at the beach   | am Strand         | 在海滩上 | 浜辺で
""")
PLACES = INDOORS | OUTDOORS
# Where a verb is done, where that is not everywhere.
_HOME = ("in the kitchen", "at school", "in the house", "at the hotel", "in the garden")
PLACES_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("buys", "sells"), ("in the store", "at the market", "in the city", "in the village")),
    **dict.fromkeys(("washes", "cleans", "fixes"), (*_HOME, "in the village", "on the farm")),
    "carries": tuple(OUTDOORS),
    "drives": ("on the street", "in the city", "in the village"),
    "writes": (*_HOME, "at the library", "in the office", "in the park"),
}
ANIMAL_PLACES = {"in the kitchen", "in the house", *OUTDOORS} - {"in the city", "at the station"}
LARGE = (*VEHICLES, "horse", "cow", "sheep")  # not seen indoors

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

TIMES = _table("""
    today         | heute       | 今天     | 今日
    tonight       | heute Abend | 今晚     | 今夜
    every day     | jeden Tag   | 每天     | 毎日
    every morning | jeden Morgen | 每天早上 | 毎朝
    on Monday     | am Montag   | 星期一   | 月曜日に
    on Tuesday    | am Dienstag | 星期二   | 火曜日に
    on Wednesday  | am Mittwoch | 星期三   | 水曜日に
    on Thursday   | am Donnerstag | 星期四 | 木曜日に
    on Friday     | am Freitag  | 星期五   | 金曜日に
    on Saturday   | am Samstag  | 星期六   | 土曜日に
    on Sunday     | am Sonntag  | 星期日   | 日曜日に
""")

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

OPPOSITES = {
    "big": "small", "small": "big", "old": "new", "new": "old", "young": "old", "black": "white", "white": "black",
    "hungry": "full", "kind": "mean",
}  # fmt: skip

NOUNS = PEOPLE | ANIMALS
